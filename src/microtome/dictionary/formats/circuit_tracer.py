"""circuit-tracer: `config.yaml` beside a file a layer, of transcoders or of a cross-layer transcoder.

A set becomes one dictionary with a block a layer. Reading vectors lie by unit, `[units, d]`. Version 0.5 knows ReLU
and JumpReLU; units below zero pass a JumpReLU there, so that thresholds below zero are refused. What came after 0.5.0
reads sets with TopK too (`activation: topk`, `k`), which 0.5.0 itself would read as ReLU.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from microtome.core.errors import FormatError, NotSupported
from microtome.dictionary.architecture import Architecture
from microtome.dictionary.architectures.jumprelu import JumpReLU
from microtome.dictionary.architectures.relu import ReLU
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.assembling import Parts, Weights, assembled, bounds, thresholds
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.folding import of_unit_length
from microtome.dictionary.foreign_sites import GivenSites, name_of
from microtome.dictionary.format import FORMATS, Format
from microtome.dictionary.geometry import cross_layer, layer_by_layer
from microtome.dictionary.settings import Settings, settings
from microtome.dictionary.tensors import Tensors, names_in, safetensors

SETTINGS = "config.yaml"
SET, CLT = "transcoder_set", "cross_layer_transcoder"
THRESHOLD = "activation_function.threshold"
LAYER = {SET: re.compile(r"layer_(\d+)\.safetensors"), CLT: re.compile(r"W_enc_(\d+)\.safetensors")}


@FORMATS.register("circuit-tracer", summary="circuit-tracer: transcoders of all layers, and CLTs; read and written")
class CircuitTracer(Format):
    """A folder for all layers of a model."""

    writes = True

    def recognises(self, path: Path) -> bool:
        """By `W_enc_0.safetensors`, or by a file a layer that holds a `W_enc`."""
        if not path.is_dir():
            return False
        first = next(iter(_files(path, SET).values()), None)
        names = None if first is None else names_in(first)  # None too where it is damaged, which reading it says
        return bool(_files(path, CLT)) or (first is not None and (names is None or "W_enc" in names))

    def read(self, path: Path, sites: GivenSites) -> Dictionary:
        """See `Format.read`."""
        says = settings(path / SETTINGS) if (path / SETTINGS).is_file() else Settings(path / SETTINGS, {})
        kind = says.one_of("model_kind", (SET, CLT), CLT if _files(path, CLT) else SET)
        known = ("relu", "jump_relu", "jumprelu", "topk") if kind == SET else ("relu", "jump_relu", "jumprelu")
        if says.get("activation", str, "relu") not in known:
            raise NotSupported(
                f"read the transcoders {path}", found=f"the activation {says.values['activation']!r}",
                do=f"give transcoders with one of {', '.join(known)}",
            )  # fmt: skip
        if "transcoders" in says:
            raise NotSupported(
                f"read the transcoders {path}", found="a list of files elsewhere",
                do="download them into one folder as layer_0.safetensors, layer_1.safetensors, …",
            )  # fmt: skip
        files = _files(path, kind)
        if not files or list(files) != list(range(len(files))):
            raise FormatError(
                f"read the transcoders {path}", found=f"files of the layers {list(files)}",
                do="get the others too: it has one for every layer, from 0",
            )  # fmt: skip
        return (_set if kind == SET else _clt)(path, says, list(files.values()), sites)

    def write(self, dictionary: Dictionary, path: Path) -> Path:
        """See `Format.write`."""
        kind, hooks = _writable(dictionary)
        if isinstance(dictionary.architecture, TopK):
            _check_topk(dictionary, kind)
            dictionary = of_unit_length(dictionary) if dictionary.architecture.by_norm else dictionary
        for name, tensors in _parts(dictionary, kind):
            save_file({key: one.detach().cpu().contiguous() for key, one in tensors.items()}, path / name)
        model = {} if dictionary.card is None else dictionary.card.model
        content = {
            "model_name": model.get("name", ""), "model_kind": kind, "feature_input_hook": hooks[0],
            "feature_output_hook": hooks[1], "scan": path.name,
        }  # fmt: skip
        if isinstance(dictionary.architecture, TopK):
            content |= {"activation": "topk", "k": dictionary.architecture.k}
        (path / SETTINGS).write_text(yaml.safe_dump(content), encoding="utf-8")
        return path


def _set(path: Path, says: Settings, files: list[Path], sites: GivenSites) -> Dictionary:
    blocks, b_dec, skips, sizes = [], [], [], {}
    every = [safetensors(file) for file in files]
    jumps = says.text("activation") != "topk" and any(THRESHOLD in found for found in every)
    for found in every:
        found.sizes.update(sizes)
        found.nothing_but(("W_enc", "b_enc", "W_dec", "b_dec", "W_skip", *((THRESHOLD,) if jumps else ())))
        W_enc = found.take("W_enc", "units", "d")
        b_enc = found.take("b_enc", "units")
        blocks.append(Weights(W_enc, b_enc, found.take("W_dec", "units", "d"), _jump(found, THRESHOLD, jumps)))
        b_dec.append(found.take("b_dec", "d"))
        skips += [found.take("W_skip", "d", "d")] if "W_skip" in found else []
        sizes = found.sizes
    if len(skips) not in (0, len(files)):
        raise FormatError(
            f"read the transcoders {path}", found=f"W_skip in {len(skips)} of {len(files)} files",
            do="get the files of one release",
        )  # fmt: skip
    geometry = layer_by_layer(*_sites(path, says, len(files), sites), sizes["d"], sizes["d"], sizes["units"])
    conventions = Conventions(centred=False, skip=bool(skips))
    architecture = _topk(says, sizes["units"]) if says.text("activation") == "topk" else _architecture(jumps)
    parts = Parts(geometry, architecture, conventions, blocks, torch.stack(b_dec), skips)
    return assembled(parts, path, "circuit-tracer", says.values, says.text("model_name"))


def _clt(path: Path, says: Settings, files: list[Path], sites: GivenSites) -> Dictionary:
    n = len(files)
    blocks = []
    b_dec = []
    sizes = {}
    every = [safetensors(file) for file in files]
    jumps = any(f"threshold_{i}" in found for i, found in enumerate(every))
    for i, found in enumerate(every):
        found.sizes.update(sizes)
        found.nothing_but((f"W_enc_{i}", f"b_enc_{i}", f"b_dec_{i}", f"threshold_{i}"))
        W_enc = found.take(f"W_enc_{i}", "units", "d")
        b_enc = found.take(f"b_enc_{i}", "units")
        written = safetensors(path / f"W_dec_{i}.safetensors", found.sizes).nothing_but((f"W_dec_{i}",))
        W_dec = written.take(f"W_dec_{i}", "units", n - i, "d").flatten(1)
        blocks.append(Weights(W_enc, b_enc, W_dec, _jump(found, f"threshold_{i}", jumps)))
        b_dec.append(found.take(f"b_dec_{i}", "d"))
        sizes = found.sizes
    geometry = cross_layer(*_sites(path, says, n, sites), sizes["d"], sizes["d"], sizes["units"])
    parts = Parts(geometry, _architecture(jumps), Conventions(centred=False), blocks, torch.stack(b_dec))
    return assembled(parts, path, "circuit-tracer", says.values, says.text("model_name"))


def _topk(says: Settings, units: int) -> TopK:
    k = says.size("k")
    if k > units:
        raise says.refusal("k", f"{k} of {units} units", "no more than there are can be active")
    return TopK(k=k, by_norm=False)


def _check_topk(dictionary: Dictionary, kind: str) -> None:
    """Refuses what is no set: TopK is known of sets alone.

    Raises:
        NotSupported: it is none.
    """
    if kind != SET:
        raise NotSupported(
            f"write {dictionary} for circuit-tracer", found="a cross-layer transcoder with TopK",
            do="train it with BatchTopK or JumpReLU, or keep it in microtome's own format",
        )  # fmt: skip


def _architecture(jumps: bool) -> Architecture:
    return JumpReLU() if jumps else ReLU()


def _jump(found: Tensors, name: str, jumps: bool) -> dict[str, Tensor]:
    """Thresholds; a layer without any, among others that have them, has its at zero."""
    if not jumps:
        return {}
    if name not in found:
        return thresholds(torch.zeros(found.sizes["units"]))
    bound = found.take(name, "units")
    if (bound < 0).any():
        raise NotSupported(
            f"read the transcoders {found.path}", found=f"a threshold of {float(bound.min()):g}, below zero",
            do="use circuit-tracer itself for them; here activations are above zero",
        )  # fmt: skip
    return thresholds(bound)


def _sites(path: Path, says: Settings, n: int, sites: GivenSites) -> tuple[tuple[str, ...], tuple[str, ...]]:
    reads, writes = says.text("feature_input_hook"), says.text("feature_output_hook")
    return sites.read(path, _names(reads, n)), sites.written(path, _names(writes, n))


def _names(hook: str | None, n: int) -> list[str | None]:
    return [hook and f"blocks.{layer}.{hook}" for layer in range(n)]


def _files(path: Path, kind: str) -> dict[int, Path]:
    found = {int(match[1]): one for one in path.iterdir() if (match := LAYER[kind].fullmatch(one.name))}
    return dict(sorted(found.items()))


def _writable(dictionary: Dictionary) -> tuple[str, tuple[str, str]]:
    """The kind of model, and the hooks that it reads and writes, of a dictionary for all layers from 0."""
    geometry = dictionary.geometry
    n = len(dictionary.geometry.blocks)
    ends = [(block.reads, block.writes) for block in geometry.blocks]
    is_set = ends == [((i,), (i,)) for i in range(n)]
    is_clt = ends == [((i,), tuple(range(i, n))) for i in range(n)]
    hooks = [{_unlayered(site, i) for i, site in enumerate(sites)} for sites in (geometry.reads, geometry.writes)]
    whole = all(len(one) == 1 and None not in one for one in hooks) and len(geometry.reads) == len(geometry.writes) == n
    widths = {block.units for block in geometry.blocks}
    plain = dictionary.conventions.normalised == "no" and not dictionary.conventions.centred
    if not (is_set or is_clt) or not whole or geometry.d_in != geometry.d_out or len(widths) > 1 or not plain:
        raise NotSupported(
            f"write {dictionary} for circuit-tracer", found=f"what it touches: {', '.join(geometry.sites)[:200]}",
            do="give transcoders of every layer from 0, of one size, that take inputs as they are",
        )  # fmt: skip
    if dictionary.W_skip is not None and not is_set:
        raise NotSupported(
            f"write {dictionary} for circuit-tracer", found="a skip, which its cross-layer transcoders lose on disk",
            do="train without one, or keep it in microtome's own format",
        )  # fmt: skip
    (reads,), (writes,) = hooks
    return SET if is_set else CLT, (str(reads), str(writes))


def _unlayered(site: str, layer: int) -> str | None:
    found = name_of(site)
    start = f"blocks.{layer}."
    return found.removeprefix(start) if found is not None and found.startswith(start) else None


def _parts(dictionary: Dictionary, kind: str) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The files, one after another, with what each holds."""
    skip = dictionary.W_skip if dictionary.W_skip is None or dictionary.W_skip.ndim == 3 else dictionary.W_skip[None]
    for i, units in enumerate(dictionary.units):
        bound = None if isinstance(dictionary.architecture, TopK) else bounds(dictionary.architecture, units)
        if kind == CLT:
            jump = {} if bound is None else {f"threshold_{i}": bound}
            own = {f"W_enc_{i}": units.W_enc, f"b_enc_{i}": units.b_enc, f"b_dec_{i}": dictionary.b_dec[i], **jump}
            yield f"W_enc_{i}.safetensors", own
            shaped = units.W_dec.view(units.block.units, len(units.block.writes), -1)
            yield f"W_dec_{i}.safetensors", {f"W_dec_{i}": shaped}
            continue
        own = {"W_enc": units.W_enc, "b_enc": units.b_enc, "W_dec": units.W_dec, "b_dec": dictionary.b_dec[i]}
        own |= {} if bound is None else {THRESHOLD: bound}
        yield f"layer_{i}.safetensors", own | ({} if skip is None else {"W_skip": skip[i]})
