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
# Folders of the releases, and where their dictionaries stand.
PLACES = (
    (r"gemma-scope-[^/]*-res/layer_(\d+)/|resid_post/layer_(\d+)_", "blocks.{}.hook_resid_post"),
    (r"gemma-scope-[^/]*-mlp/layer_(\d+)/|mlp_out/layer_(\d+)_", "blocks.{}.hook_mlp_out"),
    (r"gemma-scope-[^/]*-att/layer_(\d+)/|attn_out/layer_(\d+)_", "blocks.{}.attn.hook_z"),
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
    name = reads or _place(file)
    is_transcoder = (
        writes not in (None, reads) or "transcoder" in file.as_posix() or sites.writes not in (None, sites.reads)
    )
    d_in, d_out, units = (found.sizes[letter] for letter in ("d", "d_out", "units"))
    if not is_transcoder and d_in != d_out:
        raise found.refusal(f"w_dec for {d_out} numbers where {d_in} are read, in no folder of transcoders")
    if is_transcoder:
        geometry = transcoder(*sites.transcoder(file, name, writes), d_in, d_out, units)
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


def _place(file: Path) -> str | None:
    for pattern, hook in PLACES:
        if (match := re.search(pattern, file.absolute().as_posix())) is not None:
            return hook.format(match[match.lastindex or 1])
    return None


def _layers(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    found = {int(match[1]): one for one in folder.iterdir() if (match := LAYER.fullmatch(one.name))}
    return dict(sorted(found.items()))
