"""dictionary_learning: `ae.pt`, a state dict, beside `config.json`, which names its class.

Biases and thresholds were scaled for raw inputs when it was saved. Activations are read as the file has them; its
own loader gives write vectors of an `AutoEncoder` the length 1, which here is `folding.of_unit_length`.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from microtome.dictionary.architecture import Architecture
from microtome.dictionary.architectures.batchtopk import BatchTopK
from microtome.dictionary.architectures.gated import Gated
from microtome.dictionary.architectures.jumprelu import JumpReLU
from microtome.dictionary.architectures.matryoshka import Matryoshka
from microtome.dictionary.architectures.relu import ReLU
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.assembling import Parts, Weights, assembled, thresholds
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.foreign_sites import GivenSites
from microtome.dictionary.format import FORMATS, Format
from microtome.dictionary.formats.crosscoder import is_crosscoder
from microtome.dictionary.geometry import sae
from microtome.dictionary.settings import Settings, settings
from microtome.dictionary.tensors import Tensors, pickled

SETTINGS, WEIGHTS = "config.json", "ae.pt"

Made = tuple[Architecture, Conventions, Weights, Tensor]


def _standard(found: Tensors) -> Made:
    found.nothing_but(("bias", "encoder.weight", "encoder.bias", "decoder.weight"))
    return ReLU(), Conventions(centred=True), _linear(found), found.take("bias", "d")


def _april(found: Tensors) -> Made:
    found.nothing_but(("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"))
    return ReLU(), Conventions(centred=False), _linear(found), found.take("decoder.bias", "d")


def _gated(found: Tensors) -> Made:
    found.nothing_but(("decoder_bias", "encoder.weight", "r_mag", "gate_bias", "mag_bias", "decoder.weight"))
    extras = {"r_mag": found.take("r_mag", "units"), "b_mag": found.take("mag_bias", "units")}
    return Gated(), Conventions(centred=True), _linear(found, extras, "gate_bias"), found.take("decoder_bias", "d")


def _topk(found: Tensors) -> Made:
    found.nothing_but(("encoder.weight", "encoder.bias", "decoder.weight", "b_dec", "k", "threshold"))
    weights = _linear(found)
    return TopK(k=_k(found), by_norm=False), Conventions(centred=True), weights, found.take("b_dec", "d")


def _batchtopk(found: Tensors) -> Made:
    found.nothing_but(("encoder.weight", "encoder.bias", "decoder.weight", "b_dec", "k", "threshold"))
    weights = _linear(found, _threshold(found))
    return BatchTopK(k=_k(found), by_norm=False), Conventions(centred=True), weights, found.take("b_dec", "d")


def _jumprelu(found: Tensors) -> Made:
    found.nothing_but(("W_enc", "b_enc", "W_dec", "b_dec", "threshold"))
    weights = _plain(found, thresholds(found.take("threshold", "units")))
    return JumpReLU(), Conventions(centred=False), weights, found.take("b_dec", "d")


def _matryoshka(found: Tensors) -> Made:
    found.nothing_but(("W_enc", "b_enc", "W_dec", "b_dec", "k", "threshold", "group_sizes"))
    weights = _plain(found, _threshold(found))
    sizes = found.value("group_sizes")
    units = found.sizes["units"]
    if not isinstance(sizes, Tensor) or sizes.is_floating_point() or sizes.ndim != 1 or int(sizes.min()) < 1:
        raise found.refusal("no sizes of groups")
    if int(sizes.sum()) != units:
        raise found.refusal(f"groups of {sizes.tolist()} units, {units} units in all")
    levels = tuple((sizes.cumsum(0).double() / units).tolist())
    made = Matryoshka(k=_k(found), by_norm=False, levels=levels)
    return made, Conventions(centred=True), weights, found.take("b_dec", "d")


READERS: dict[str, Callable[[Tensors], Made]] = {
    "AutoEncoder": _standard, "AutoEncoderNew": _april, "GatedAutoEncoder": _gated, "AutoEncoderTopK": _topk,
    "BatchTopKSAE": _batchtopk, "JumpReluAutoEncoder": _jumprelu, "MatryoshkaBatchTopKSAE": _matryoshka,
}  # fmt: skip


@FORMATS.register("dictionary-learning", summary="dictionary_learning: all its classes (ae.pt, config.json)")
class DictionaryLearning(Format):
    """A folder a dictionary."""

    def recognises(self, path: Path) -> bool:
        """By the name of the weights, where they are no crosscoder's."""
        file = path if path.name == WEIGHTS else path / WEIGHTS
        return file.is_file() and not is_crosscoder(file)

    def read(self, path: Path, sites: GivenSites) -> Dictionary:
        """See `Format.read`."""
        folder = path.parent if path.is_file() else path
        trainer = settings(folder / SETTINGS).part("trainer")
        kind = trainer.one_of("dict_class", tuple(READERS))
        held = pickled(folder / WEIGHTS)
        # Earlier versions kept neither in the weights: k stood in the configuration alone, and there was no threshold.
        earlier = {"k": trainer.values.get("k"), "threshold": -1.0} if "TopK" in kind else {}
        found = held.completed(earlier)
        architecture, conventions, weights, b_dec = READERS[kind](found)
        _agree(trainer, found)
        geometry = sae(sites.autoencoder(path, _place(trainer)), found.sizes["d"], found.sizes["units"])
        parts = Parts(geometry, architecture, conventions, [weights], b_dec[None])
        return assembled(parts, folder, "dictionary-learning", trainer.values, trainer.text("lm_name"))


def _linear(found: Tensors, extras: dict[str, Tensor] | None = None, bias: str = "encoder.bias") -> Weights:
    W_enc, W_dec = found.take("encoder.weight", "units", "d"), found.take("decoder.weight", "d", "units").T
    return Weights(W_enc, found.take(bias, "units"), W_dec, extras or {})


def _plain(found: Tensors, extras: dict[str, Tensor]) -> Weights:
    W_enc, W_dec = found.take("W_enc", "d", "units").T, found.take("W_dec", "units", "d")
    return Weights(W_enc, found.take("b_enc", "units"), W_dec, extras)


def _threshold(found: Tensors) -> dict[str, Tensor]:
    """One for all units; below zero, as here, as long as none was estimated."""
    return {"threshold": torch.tensor(float(found.number("threshold")))}


def _k(found: Tensors) -> int:
    k = found.whole("k")
    if k > found.sizes["units"]:
        raise found.refusal(f"k = {k} of {found.sizes['units']} units")
    return k


def _agree(trainer: Settings, found: Tensors) -> None:
    """What the configuration says of the weights is so."""
    for name, size in (("activation_dim", found.sizes["d"]), ("dict_size", found.sizes["units"])):
        if name in trainer and trainer.size(name) != size:
            raise trainer.refusal(name, str(trainer.values[name]), f"the weights beside it have {size}")
    if "k" in trainer and "k" in found and trainer.get("k", float) != found.number("k"):
        raise trainer.refusal("k", str(trainer.values["k"]), f"the weights beside it have {found.number('k')}")


def _place(trainer: Settings) -> str | None:
    return trainer.text("submodule_name")
