"""Dictionaries of every format: recognised by their files, read, and written."""

from collections.abc import Sequence
from pathlib import Path

import torch

from microtome.core.artefact import folder_written_whole
from microtome.core.errors import FormatError, MissingFile, nearest
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.foreign_sites import GivenSites
from microtome.dictionary.format import FORMATS
from microtome.dictionary.listing import how_to_get
from microtome.dictionary.named import dictionary_names, folder_with, named_dictionary
from microtome.dictionary.tensors import shapes_in


def load_dictionary(
    path: str | Path,
    format: str | None = None,
    device: torch.device | str = "cpu",
    *,
    reads: str | Sequence[str] | None = None,
    writes: str | Sequence[str] | None = None,
) -> Dictionary:
    """Reads a dictionary: microtome's own, or one of another tool; nothing in its files is run.

    Its units and activations are numbered and sized as its own tool numbers and sizes them. What training scaled
    and the file still keeps apart (lengths of write vectors, the size of inputs) is folded into the weights.

    Args:
        path: a folder or a file; or a name that `microtome list dictionary` shows: shipped, such as `tiny/transcoders`,
            or in the cache once it was trained, such as `smollm2/transcoders`. One with a name is read once a process:
            every call gives the same object, so take a copy before changing its weights.
        format: its format by name, as `microtome list format` shows them; None recognises it by its files.
        device: where its weights go.
        reads: the site that units read, where the files do not say it, or say it otherwise; of several layers a
            list, or a pattern such as `mlp.in.*`.
        writes: the site that they write, of a transcoder.

    Raises:
        MissingFile: there is nothing.
        UnknownName: no format has that name.
        FormatError: it is of no known format, malformed, truncated, or not what it says.
        NotSupported: it holds what no `Dictionary` does exactly.
        WrongUse: no site is named, by the files or here.
    """
    what = f"load the dictionary {path}"
    name = str(path)
    if not Path(path).exists():
        if name not in (names := dictionary_names()):
            raise MissingFile(
                what, found=f"no file or folder, and of the dictionaries with a name, {nearest(name, names)}",
                do=how_to_get(name),
            )  # fmt: skip
        if (format, reads, writes) == (None, None, None):
            return named_dictionary(name, device)
        path = folder_with(name)
    path = Path(path)
    if format is None:
        fitting = [entry.name for entry in FORMATS if entry.value().recognises(path)]
        if not fitting:
            raise FormatError(
                what, found=f"the files of no format: {_held(path)}",
                do="name the folder that holds its weights and settings; `microtome list format` shows what is known",
            )  # fmt: skip
        if len(fitting) > 1:
            raise FormatError(
                what,
                found=f"the files of {' and of '.join(fitting)}",
                do="name its format: load_dictionary(…, format=…)",
            )
        format = fitting[0]
    sites = GivenSites(_several(reads), _several(writes))
    return FORMATS.get(format)().read(path, sites).to(device)


def save_as(dictionary: Dictionary, path: str | Path, format: str = "microtome") -> Path:
    """Writes a dictionary into a folder as another tool keeps them; returns the folder.

    The folder is replaced as a whole, so that it never holds files of two dictionaries, whenever the writing stops.

    Args:
        dictionary: what to write.
        path: the folder; one that holds other files than are written again is refused.
        format: by name; `microtome list format` shows which are written.

    Raises:
        UnknownName: no format has that name.
        NotSupported: the format cannot say what this dictionary does.
        WrongUse: the folder holds other files, or nothing can be written there.
    """
    entry = FORMATS.get(format)()
    with folder_written_whole(path) as folder:
        entry.write(dictionary, folder)
    return Path(path)


def _several(sites: str | Sequence[str] | None) -> tuple[str, ...] | None:
    return (sites,) if isinstance(sites, str) else sites if sites is None else tuple(sites)


def _held(path: Path) -> str:
    """What lies there, and of a file of weights what it holds."""
    if path.is_dir():
        names = sorted(one.name for one in path.iterdir())
        return _listed(names) or "an empty folder"
    shapes = shapes_in(path) if path.suffix in (".pt", ".safetensors") else None
    tensors = [f"{name} {list(shape)}" for name, shape in sorted((shapes or {}).items())]
    return f"{path.name} with the tensors {_listed(tensors)}" if tensors else path.name


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
