"""A battery: checks that every entry of one kind has to pass, each of which says what is wrong in words."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from microtome.core.errors import MicrotomeError
from microtome.core.registry import Entry

Subject = TypeVar("Subject")
Complaints = Iterator[str]


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One promise.

    Attributes:
        name: the promise, as it reads in a list.
        complaints: of a subject, what is not as promised; none where all is well.
    """

    name: str
    complaints: Callable[[Subject], Iterable[str]]

    def failure(self, subject: Subject) -> str:
        """Why a subject fails, in a line; empty where it passes. What it raises is a failure too."""
        try:
            found = list(dict.fromkeys(self.complaints(subject)))
        except MicrotomeError as error:
            found = [f"{error.what}: {error.found}"]
        except Exception as error:  # noqa: BLE001 - a stranger's entry may raise anything, and must not end the battery
            found = [f"raises {type(error).__name__}: {error}"]
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        return "; ".join(" ".join(one.split())[:300] for one in found[:3]) + more


@dataclass(frozen=True)
class Battery(Generic[Subject]):
    """The checks of one kind of entry.

    Attributes:
        kind: of the registry.
        checks: in the order in which they are run.
        subject: what they look at, from an entry.
    """

    kind: str
    checks: tuple[Check[Subject], ...]
    subject: Callable[[Entry[Any]], Subject]


def apart(what: str, found: Tensor, expected: Tensor, rtol: float = 1e-7, atol: float = 1e-7) -> Complaints:
    """A complaint where two tensors are not the same, in shape or in numbers."""
    if found.shape != expected.shape:
        yield f"{what}: the shape {list(found.shape)}, not {list(expected.shape)}"
    elif not torch.allclose(found, expected, rtol=rtol, atol=atol, equal_nan=True):
        yield f"{what}: apart by {float((found - expected).abs().max()):.3g}"
