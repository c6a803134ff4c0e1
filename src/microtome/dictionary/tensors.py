"""Tensors from files of strangers: nothing in a file is run, and each tensor is taken by name, shape and dtype."""

import pickle
import struct
import warnings
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from microtome.core.errors import FormatError, MissingFile

# What unpickling and unzipping damaged bytes was seen to raise. None of it runs code of the file.
DAMAGE = (
    pickle.UnpicklingError, zipfile.BadZipFile, struct.error, RuntimeError, EOFError, ValueError, OSError, LookupError,
    AttributeError, TypeError, AssertionError, ArithmeticError, MemoryError, NotImplementedError,
)  # fmt: skip


COMPILED = "_orig_mod."  # what torch.compile puts before the names of a module's tensors


class Tensors:
    """What a file of weights holds, to be taken piece by piece.

    Sizes have letters: the first tensor with a letter says its size, and all later ones must agree.

    Attributes:
        path: of the file.
        sizes: letters that are known, by the file or by settings beside it.
    """

    def __init__(self, path: Path, values: Mapping[str, object], sizes: Mapping[str, int] | None = None):
        self.path = path
        self.sizes = dict(sizes or {})
        self._values = {name.removeprefix(COMPILED): value for name, value in values.items()}

    def __contains__(self, name: str) -> bool:
        """Whether the file holds it."""
        return name in self._values

    @property
    def names(self) -> list[str]:
        """Of all that it holds."""
        return sorted(self._values)

    def take(self, name: str, *shape: str | int) -> Tensor:
        """One tensor in float32, of a shape in letters and numbers: `take("W_enc", "d", "units")`.

        Raises:
            FormatError: it is lacking, of another shape, no real numbers, or one of them is not finite.
        """
        found = self._values.get(name)
        if not isinstance(found, Tensor):
            raise self.refusal(f"no tensor {name} among {', '.join(self.names) or 'nothing'}")
        whole = found.layout == torch.strided and found.device.type == "cpu" and found.is_floating_point()
        if not whole or found.numel() * found.element_size() > found.untyped_storage().nbytes():
            raise self.refusal(f"{name} with numbers of another kind ({found.dtype}, {found.layout}, {found.device})")
        if found.ndim == len(shape):
            for letter, size in zip(shape, found.shape, strict=True):
                if isinstance(letter, str):
                    self.sizes.setdefault(letter, size)
        expected = [self.sizes.get(one, one) if isinstance(one, str) else one for one in shape]
        if list(found.shape) != expected:
            letters = ", ".join(f"{one} = {self.sizes[one]:,}" for one in shape if one in self.sizes)
            raise self.refusal(
                f"{name} of shape {list(found.shape)} instead of [{', '.join(map(str, shape))}], {letters}"
            )
        if not found.numel() or not torch.isfinite(found).all():
            raise self.refusal(f"{name} with numbers that are none (NaN, infinite) or without any")
        return found.to(torch.float32).contiguous()

    def number(self, name: str) -> int | float:
        """One number, alone or as a tensor of one element."""
        found = self._values.get(name)
        if isinstance(found, Tensor) and found.numel() == 1 and found.device.type == "cpu" and not found.is_complex():
            found = found.item()
        if isinstance(found, bool) or not isinstance(found, int | float) or not np.isfinite(found):
            raise self.refusal(f"no number {name}")
        return found

    def whole(self, name: str) -> int:
        """One whole number above zero."""
        found = self.number(name)
        if found != int(found) or found < 1:
            raise self.refusal(f"{name} = {found}, which is no whole number above zero")
        return int(found)

    def value(self, name: str) -> object:
        """Whatever stands under a name that is no tensor."""
        return self._values.get(name)

    def completed(self, values: Mapping[str, object]) -> "Tensors":
        """The same, with these values for what the file lacks; None stands for none."""
        more = {name: value for name, value in values.items() if value is not None}
        return Tensors(self.path, {**more, **self._values}, self.sizes)

    def nothing_but(self, known: Collection[str]) -> "Tensors":
        """The same, if it holds nothing beyond these names: what is not known may change what the units do.

        Raises:
            FormatError: it holds more.
        """
        if more := [name for name in self.names if name not in known]:
            raise self.refusal(f"more than this format has: {', '.join(more[:8])}")
        return self

    def refusal(self, found: str) -> FormatError:
        """What is wrong with the file."""
        return FormatError(
            f"read the weights {self.path}",
            found=found,
            do="get the file again, or the one that belongs to its configuration; `format=` names the format",
        )


def safetensors(path: Path, sizes: Mapping[str, int] | None = None) -> Tensors:
    """What a safetensors file holds.

    Raises:
        MissingFile: there is no such file.
        FormatError: it cannot be read.
    """
    _present(path)
    try:
        with safe_open(path, framework="pt") as file:
            return Tensors(path, {name: file.get_tensor(name) for name in file.keys()}, sizes)  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:
        raise _damaged(path, error) from error


def npz(path: Path) -> Tensors:
    """What an archive of numpy arrays holds; objects in it are refused. See `safetensors`."""
    _present(path)
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("one array, no archive of them")
            return Tensors(path, {name: torch.from_numpy(np.ascontiguousarray(file[name])) for name in file.files})
    except DAMAGE as error:
        raise _damaged(path, error) from error


def pickled(path: Path) -> Tensors:
    """What a `.pt` file holds: numbers, words and tensors; code in it is refused, never run. See `safetensors`."""
    _present(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickles, which it then reads or refuses
            found = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGE as error:
        raise _damaged(path, error) from error
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise FormatError(
            f"read the weights {path}", found=f"a {type(found).__name__}", do="give a file of tensors with names"
        )
    return Tensors(path, found)


def names_in(path: Path) -> list[str] | None:
    """Names of the tensors of a safetensors file, by its head alone; None where it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError, ValueError):
        return None


def shapes_in(path: Path) -> dict[str, tuple[int, ...]] | None:
    """Names and shapes of the tensors of a safetensors or `.pt` file, without their numbers; None where unreadable."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            found = {str(name): tuple(one.shape) for name, one in held.items() if isinstance(one, Tensor)}
    except (SafetensorError, *DAMAGE):
        return None
    return {name.removeprefix(COMPILED): shape for name, shape in found.items()}


def _present(path: Path) -> None:
    if not path.is_file():
        raise MissingFile(
            f"read the weights {path}", found="no such file",
            do="check the path; a download or a copy may have been cut short",
        )  # fmt: skip


def _damaged(path: Path, error: BaseException) -> FormatError:
    said = (str(error).splitlines() or [""])[0]
    return FormatError(
        f"read the weights {path}", found=f"no such file of tensors ({type(error).__name__}: {said})"[:300],
        do="get the file again: it is damaged, holds more than tensors, or is of another kind than its name says",
    )  # fmt: skip
