"""Llamascopium (OpenMOSS Language-Model-SAEs): `config.json` beside `sae_weights.safetensors`; SAEs and transcoders.

Inputs are scaled so that their norm is √d on average, by a norm that the weights hold for each hook; scales are folded
here, and activations are those of scaled inputs, as its own code gives them. Units are chosen by pre-activation ×
length of the write vector where its settings say so.
"""

import math
from pathlib import Path

import torch
from torch import Tensor

from microtome.core.errors import NotSupported
from microtome.dictionary.architecture import Architecture
from microtome.dictionary.architectures.jumprelu import JumpReLU
from microtome.dictionary.architectures.relu import ReLU
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.assembling import Parts, Weights, assembled
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.foreign_sites import GivenSites
from microtome.dictionary.format import FORMATS, Format
from microtome.dictionary.geometry import Geometry, sae, transcoder
from microtome.dictionary.settings import Settings, settings
from microtome.dictionary.tensors import Tensors, safetensors

SETTINGS, WEIGHTS, OTHERS = "config.json", "sae_weights.safetensors", "cfg.json"
NORM = "dataset_average_activation_norm."
THRESHOLD = "log_jumprelu_threshold"
THRESHOLDS = (f"activation_function.{THRESHOLD}", THRESHOLD)
NOW = {"W_E": "W_E", "b_E": "b_E", "W_D": "W_D", "b_D": "b_D"}
BEFORE = {"W_E": "encoder.weight", "b_E": "encoder.bias", "W_D": "decoder.weight", "b_D": "decoder.bias"}


@FORMATS.register("llamascopium", summary="Llamascopium (Language-Model-SAEs): SAEs and transcoders")
class Llamascopium(Format):
    """A folder a dictionary."""

    def recognises(self, path: Path) -> bool:
        """By the names of both files, where SAELens's settings do not lie beside them."""
        folder = path.parent if path.name == WEIGHTS else path
        return all((folder / name).is_file() for name in (SETTINGS, WEIGHTS)) and not (folder / OTHERS).is_file()

    def read(self, path: Path, sites: GivenSites) -> Dictionary:
        """See `Format.read`."""
        folder = path.parent if path.is_file() else path
        says = settings(folder / SETTINGS)
        _check(folder, says)
        found = safetensors(folder / WEIGHTS, {"d": says.size("d_model")})
        weights, b_dec = own_weights(found, says)
        hooks = (says.get("hook_point_in", str), says.get("hook_point_out", str))
        how = says.one_of("norm_activation", ("dataset-wise", "token-wise", "inference"), "dataset-wise")
        architecture, extras = _architecture(says, found, weights)
        s_in, s_out = (_scale(found, hook) if how == "dataset-wise" else 1.0 for hook in hooks)
        scaled = Weights(weights.W_enc * s_in, weights.b_enc, weights.W_dec / s_out, extras)
        geometry = placed(path, sites, hooks, found)
        if how == "token-wise" and not geometry.autoencodes:
            raise _not_read(folder, "tokens normalised each by its length, in a transcoder")
        conventions = Conventions(centred=False, normalised="length" if how == "token-wise" else "no")
        parts = Parts(geometry, architecture, conventions, [scaled], (b_dec / s_out)[None])
        return assembled(parts, folder, "llamascopium", says.values)


def own_weights(found: Tensors, says: Settings) -> tuple[Weights, Tensor]:
    """Weights as the file has them, a row a unit, and what is written without any unit; by new names or old ones."""
    names = NOW if "W_E" in found else BEFORE
    norms = [name for name in found.names if name.startswith(NORM)]
    found.nothing_but((*names.values(), *THRESHOLDS, *norms))
    if names is NOW:
        W_enc, W_dec = found.take("W_E", "d", "units").T, found.take("W_D", "units", "d")
    else:
        W_enc, W_dec = found.take("encoder.weight", "units", "d"), found.take("decoder.weight", "d", "units").T
    biased = says.get("use_decoder_bias", bool, True)
    b_dec = found.take(names["b_D"], "d") if biased else torch.zeros(found.sizes["d"])
    return Weights(W_enc, found.take(names["b_E"], "units"), W_dec), b_dec


def placed(path: Path, sites: GivenSites, hooks: tuple[str, str], found: Tensors) -> Geometry:
    """An SAE where both hooks are one, else a transcoder."""
    d, units = found.sizes["d"], found.sizes["units"]
    if hooks[0] == hooks[1]:
        return sae(sites.autoencoder(path, hooks[0]), d, units)
    return transcoder(*sites.transcoder(path, *hooks), d, d, units)


def _architecture(says: Settings, found: Tensors, weights: Weights) -> tuple[Architecture, dict[str, Tensor]]:
    by_norm = says.get("sparsity_include_decoder_norm", bool, True)
    match says.one_of("act_fn", ("relu", "jumprelu", "topk"), "relu"):
        case "topk":
            k = says.size("top_k")
            if k > (units := found.sizes["units"]):
                raise says.refusal("top_k", f"{k} of {units} units", "no more than there are can be active")
            return TopK(k=k, by_norm=by_norm), {}
        case "jumprelu":
            name = THRESHOLDS[0] if THRESHOLDS[0] in found else THRESHOLDS[1]
            lengths = torch.linalg.vector_norm(weights.W_dec, dim=1) if by_norm else torch.ones_like(weights.b_enc)
            return JumpReLU(), {"threshold": found.take(name, "units").exp() / lengths.clamp(min=1e-12)}
        case _:
            return ReLU(), {}


def _scale(found: Tensors, hook: str) -> float:
    """By what the tensors of a hook are multiplied."""
    norm = float(found.number(f"{NORM}{hook}"))
    if norm <= 0:
        raise found.refusal(f"{NORM}{hook} = {norm}, which is no norm")
    return math.sqrt(found.sizes["d"]) / norm


def _check(folder: Path, says: Settings) -> None:
    """Refuses what no dictionary here does exactly."""
    if (kind := says.get("sae_type", str, "sae")) != "sae":
        raise _not_read(folder, f"a dictionary of the type {kind!r}")
    if says.get("use_glu_encoder", bool, False):
        raise _not_read(folder, "units that are read through a gate of their own")
    if (act := says.get("act_fn", str, "relu")).startswith("batch"):
        raise _not_read(folder, f"units chosen batch by batch ({act})")
    if (how := says.get("norm_activation", str, "dataset-wise")) == "batch-wise":
        raise _not_read(folder, f"inputs normalised {how}")


def _not_read(folder: Path, found: str) -> NotSupported:
    return NotSupported(
        f"read the dictionary {folder}", found=found,
        do="use Llamascopium itself for it, or convert it there: to jumprelu, or into its inference mode",
    )  # fmt: skip
