"""Gemma Scope: JumpReLU dictionaries of Gemma 2 (`params.npz`) and of Gemma 3 (`params.safetensors`, CLTs by layer).

Lieberum et al. 2024, arXiv:2408.05147. Nothing is taken off inputs, thresholds are as they are, scales are folded.
"""

import re
from pathlib import Path

import torch
from torch import Tensor

from microtome.core.errors import FormatError
from microtome.dictionary.architectures.jumprelu import JumpReLU
from microtome.dictionary.assembling import Parts, Weights, assembled, thresholds
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.foreign_sites import GivenSites
from microtome.dictionary.format import FORMATS, Format
from microtome.dictionary.geometry import cross_layer, sae, transcoder
from microtome.dictionary.settings import Settings, settings
from microtome.dictionary.tensors import Tensors, names_in, npz, safetensors

SKIP = "affine_skip_connection"
KNOWN = ("w_enc", "w_dec", "b_enc", "b_dec", "threshold", SKIP)
NPZ, WEIGHTS, SETTINGS = "params.npz", "params.safetensors", "config.json"
LAYER = re.compile(r".*layer_(\d+)\.safetensors")
# Folders of both releases, as they are downloaded or lie in the cache of Hugging Face, and what is read and written.
FIRST = r"(?:^|/)(?:models--[^/]+--)?gemma-scope-[^/]*-{}/(?:snapshots/[^/]+/)?layer_(\d+)/"
SECOND = r"(?:^|/){}(?:_all)?/layer_(\d+)_"
FOLDERS = (
    ("res", "resid_post", "blocks.{}.hook_resid_post", None),
    ("mlp", "mlp_out", "blocks.{}.hook_mlp_out", None),
    ("att", "attn_out", "blocks.{}.attn.hook_z", None),
    ("transcoders", "transcoder", "blocks.{}.ln2.hook_normalized", "blocks.{}.hook_mlp_out"),
)


@FORMATS.register("gemma-scope", summary="Gemma Scope 1 (params.npz) and 2 (safetensors), CLTs of 2")
class GemmaScope(Format):
    """One dictionary a folder, or one file a layer of a cross-layer transcoder."""

    def recognises(self, path: Path) -> bool:
        """By `params.npz`, another `.npz`, or the lower-case names of the second release's tensors."""
        if path.is_file():
            return path.suffix == ".npz" or (path.suffix == ".safetensors" and "w_enc" in (names_in(path) or []))
        first = next(iter(_layers(path).values()), None)
        return (
            (path / NPZ).is_file()
            or (path / WEIGHTS).is_file()
            or (first is not None and "w_enc" in (names_in(first) or []))
        )

    def read(self, path: Path, sites: GivenSites) -> Dictionary:
        """See `Format.read`."""
        if path.is_dir() and not (path / NPZ).is_file() and not (path / WEIGHTS).is_file():
            return _cross_layer(path, sites)
        file = path if path.is_file() else path / NPZ if (path / NPZ).is_file() else path / WEIGHTS
        beside = file.parent / SETTINGS
        says = settings(beside) if beside.is_file() else Settings(beside, {})
        says.one_of("architecture", ("jump_relu",), "jump_relu")
        return _one(file, _tensors(file), says, sites)


def _one(file: Path, found: Tensors, says: Settings, sites: GivenSites) -> Dictionary:
    weights = _weights(found, found.take("w_dec", "units", "d_out"))
    b_dec = found.take("b_dec", "d_out")[None]
    reads, writes = says.text("hf_hook_point_in"), says.text("hf_hook_point_out")
    name, target = (reads, writes) if reads else _hooks(file)
    is_transcoder = target not in (None, name) or sites.writes not in (None, sites.reads)
    d_in, d_out, units = (found.sizes[letter] for letter in ("d", "d_out", "units"))
    if not is_transcoder and d_in != d_out:
        raise found.refusal(f"w_dec for {d_out} numbers where {d_in} are read, in no folder of transcoders")
    if is_transcoder:
        geometry = transcoder(*sites.transcoder(file, name, target), d_in, d_out, units)
    else:
        geometry = sae(sites.autoencoder(file, name), d_in, units)
    skips = [found.take(SKIP, "d", "d_out").T] if SKIP in found else []
    conventions = Conventions(centred=False, skip=bool(skips))
    parts = Parts(geometry, JumpReLU(), conventions, [weights], b_dec, skips)
    return assembled(parts, file, "gemma-scope", says.values, says.text("model_name"))


def _cross_layer(folder: Path, sites: GivenSites) -> Dictionary:
    files = _layers(folder)
    if list(files) != list(range(len(files))):
        raise FormatError(
            f"read the cross-layer transcoder {folder}", found=f"files of the layers {list(files)}",
            do="get the others too: it has one for every layer, from 0",
        )  # fmt: skip
    n = len(files)
    sizes = {"layers": len(files)}
    blocks, b_dec, skips = [], [], []
    for layer, file in files.items():
        found = safetensors(file, sizes).nothing_but(KNOWN)
        W_dec = found.take("w_dec", "units", "layers", "d_out")[:, layer:].flatten(1)  # earlier layers are no writes
        blocks.append(_weights(found, W_dec))
        b_dec.append(found.take("b_dec", "d_out"))
        if SKIP in found:
            skips.append(found.take(SKIP, "d", "d_out").T)
        sizes = found.sizes
    if len(skips) not in (0, n):
        raise FormatError(
            f"read the cross-layer transcoder {folder}", found=f"{SKIP} in {len(skips)} of {n} files",
            do="get the files of one release",
        )  # fmt: skip
    reads = sites.read(folder, [None] * n)
    writes = sites.written(folder, [None] * n)
    geometry = cross_layer(reads, writes, sizes["d"], sizes["d_out"], sizes["units"])
    conventions = Conventions(centred=False, skip=bool(skips))
    parts = Parts(geometry, JumpReLU(), conventions, blocks, torch.stack(b_dec), skips)
    return assembled(parts, folder, "gemma-scope", {})


def _weights(found: Tensors, W_dec: Tensor) -> Weights:
    W_enc = found.take("w_enc", "d", "units").T
    return Weights(W_enc, found.take("b_enc", "units"), W_dec, thresholds(found.take("threshold", "units")))


def _tensors(file: Path) -> Tensors:
    if file.suffix != ".npz":
        return safetensors(file).nothing_but(KNOWN)
    found = npz(file)
    lower = {name: name.lower() for name in found.names}  # either case, as the releases have them
    return Tensors(file, {lower[name]: found.value(name) for name in found.names}).nothing_but(KNOWN)


def _hooks(file: Path) -> tuple[str | None, str | None]:
    """What is read and, of a transcoder, what is written, by the names of the folders that a file lies in."""
    path = file.absolute().as_posix()
    for first, second, reads, writes in FOLDERS:
        match = re.search(FIRST.format(first), path) or re.search(SECOND.format(second), path)
        if match is not None:
            return reads.format(match[1]), writes and writes.format(match[1])
    return None, None


def _layers(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    found = {int(match[1]): one for one in folder.iterdir() if (match := LAYER.fullmatch(one.name))}
    return dict(sorted(found.items()))
