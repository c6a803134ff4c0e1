"""Edits: interventions on sites. Values in, values out; an edit can be logged and made again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from microtome.core.errors import WrongUse

Positions = int | Sequence[int] | Literal["new"] | None
Kind = Literal["set", "add", "scale"]
Aim = Literal["zero", "mean", "counterfactual"]


@dataclass(frozen=True)
class Elsewhere:
    """A value still to be taken from another run at the same sites.

    Attributes:
        inputs: what to run there.
        how: `same` takes its values position by position; `mean` pools them, position 0 apart.
    """

    inputs: Any
    how: Literal["same", "mean"]


Value = float | Tensor | Mapping[str, Tensor] | Elsewhere


@dataclass(frozen=True, eq=False)
class Edit:
    """One intervention.

    Attributes:
        site: a site or a pattern of sites, such as `mlp.neurons.12` or `resid.{3,7}`.
        kind: what is done with `value`: `set`, `add`, `scale`.
        value: a number, a tensor broadcastable to the places addressed, or one tensor a site.
        positions: real tokens (negative from the end), `new` for every generated token, None for all.
        units: indices on the site's axis of units (heads, for attention), None for all.
        where: a mask over the whole site, aligned to real tokens, `[b, p, u]`; excludes the two above.
        may_be_empty: whether changing nothing is allowed.
    """

    site: str
    kind: Kind
    value: Value
    positions: tuple[int, ...] | Literal["new"] | None = None
    units: tuple[int, ...] | None = None
    where: Bool[Tensor, "b p u"] | None = None
    may_be_empty: bool = False

    def __str__(self) -> str:
        parts = [f"{self.kind} at {self.site}"]
        if self.positions is not None:
            parts.append(f"positions {_short(self.positions)}")
        if self.units is not None:
            parts.append(f"units {_short(self.units)}")
        return ", ".join(parts)

    def with_value(self, value: Value) -> "Edit":
        """The same edit with its value known."""
        return replace(self, value=value)


def _short(what: tuple[int, ...] | str) -> str:
    if isinstance(what, str) or len(what) <= 6:
        return str(what)
    return f"({', '.join(map(str, what[:5]))}, … {len(what)} in all)"


def _many(what: int | Sequence[int] | Tensor | None, name: str) -> tuple[int, ...] | None:
    if what is None:
        return None
    found = (what,) if isinstance(what, int) else tuple(int(one) for one in what)
    if not found:
        raise WrongUse(f"edit at some {name}", found=f"an empty list of {name}", do=f"name {name}, or leave them out")
    if len(dict.fromkeys(found)) < len(found):
        raise WrongUse(f"edit at some {name}", found=f"{name} named twice in {found}", do="name each once")
    return found


def _edit(
    site: str,
    kind: Kind,
    value: Value,
    positions: Positions,
    units: Any,
    where: Tensor | None,
    may_be_empty: bool,
) -> Edit:
    if where is not None and not (positions is None and units is None):
        raise WrongUse(
            f"{kind} at {site}",
            found="a mask beside positions or units",
            do="give `where` alone: it already says which positions and units",
        )
    named = "new" if isinstance(positions, str) else _many(positions, "positions")
    if isinstance(positions, str) and positions != "new":
        raise WrongUse(f"{kind} at {site}", found=f"positions={positions!r}", do="give numbers or 'new'")
    return Edit(site, kind, value, named, _many(units, "units"), where, may_be_empty)


def set(
    site: str,
    value: float | Tensor | Mapping[str, Tensor],
    *,
    positions: Positions = None,
    units: int | Sequence[int] | None = None,
    where: Bool[Tensor, "b p u"] | None = None,
    may_be_empty: bool = False,
) -> Edit:
    """Replaces values at a site.

    Args:
        site: a site or a pattern.
        value: a number; a tensor that broadcasts to `[b, positions, units…]`; or one tensor a site.
        positions: real tokens, `new` for generated ones, None for all.
        units: on the site's unit axis; heads for `attn.heads`, `attn.pattern`, …
        where: a mask over the whole site instead of positions and units.
        may_be_empty: do not raise when nothing changes.
    """
    return _edit(site, "set", value, positions, units, where, may_be_empty)


def add(
    site: str,
    value: float | Tensor | Mapping[str, Tensor],
    *,
    positions: Positions = None,
    units: int | Sequence[int] | None = None,
    where: Bool[Tensor, "b p u"] | None = None,
    may_be_empty: bool = False,
) -> Edit:
    """Adds to values at a site; arguments as for `set`."""
    return _edit(site, "add", value, positions, units, where, may_be_empty)


def scale(
    site: str,
    value: float | Tensor,
    *,
    positions: Positions = None,
    units: int | Sequence[int] | None = None,
    where: Bool[Tensor, "b p u"] | None = None,
    may_be_empty: bool = False,
) -> Edit:
    """Multiplies values at a site; arguments as for `set`."""
    return _edit(site, "scale", value, positions, units, where, may_be_empty)


def ablate(
    site: str,
    *,
    positions: Positions = None,
    units: int | Sequence[int] | None = None,
    to: Aim = "zero",
    source: Any = None,
    may_be_empty: bool = False,
) -> Edit:
    """Removes what a site says, in one of three senses.

    Args:
        site: a site or a pattern.
        positions: real tokens, `new` for generated ones, None for all.
        units: on the site's unit axis.
        to: `zero`; `mean` of the site over `source` texts (position 0 apart, the others pooled); or
            `counterfactual`, the site's values on the `source` prompt, position by position.
        source: the texts or the prompt; `mean` without it takes the shipped neutral prompts.
        may_be_empty: do not raise when nothing changes.

    Raises:
        WrongUse: `to` is none of these, or a counterfactual is missing.
    """
    if to == "zero":
        value: Value = 0.0
    elif to == "mean":
        value = Elsewhere(source, "mean")
    elif to == "counterfactual" and source is not None:
        value = Elsewhere(source, "same")
    else:
        raise WrongUse(
            f"ablate {site} to {to!r}",
            found="no `source` prompt" if to == "counterfactual" else f"to={to!r}",
            do="give source= the counterfactual prompt"
            if to == "counterfactual"
            else "use zero, mean or counterfactual",
        )
    return _edit(site, "set", value, positions, units, None, may_be_empty)


def operate(kind: Kind, x: Tensor, value: float | Tensor) -> Tensor:
    """What an edit does to the values that it addresses."""
    v = value.to(x.dtype) if isinstance(value, Tensor) else value
    if kind == "add":
        return x + v
    if kind == "scale":
        return x * v
    return torch.as_tensor(v, dtype=x.dtype, device=x.device).expand_as(x)
