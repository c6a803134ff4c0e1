"""Crosscoders of dictionary_learning and of crosscoder_learning: one file of weights, a matrix a site.

Lindsey et al. 2024; Minder et al. 2025, arXiv:2504.02922, for those with BatchTopK, whose units are active where
activation × a length of their write vectors is above one threshold: here, above a threshold each. Sites are in no file.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.errors import NotSupported, WrongUse
from microtome.dictionary.architecture import Architecture
from microtome.dictionary.architectures.jumprelu import JumpReLU
from microtome.dictionary.architectures.relu import ReLU
from microtome.dictionary.assembling import Parts, Weights, assembled
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.foreign_sites import GivenSites
from microtome.dictionary.format import FORMATS, Format
from microtome.dictionary.geometry import crosscoder
from microtome.dictionary.settings import Settings, settings
from microtome.dictionary.tensors import Tensors, pickled, safetensors, shapes_in

FILES = ("ae.pt", "model.safetensors")
SETTINGS = "config.json"
# What activations are multiplied by before the threshold: the numbers that stand for each in the files.
OVER_SITES, WHOLE, MIXED, NONE = 1, 2, 3, 4


@FORMATS.register("crosscoder", summary="crosscoders of dictionary_learning and crosscoder_learning")
class Crosscoders(Format):
    """A file a crosscoder, or a folder that holds it."""

    def recognises(self, path: Path) -> bool:
        """By an encoder with a matrix for each site."""
        file = _file(path)
        return file is not None and is_crosscoder(file)

    def read(self, path: Path, sites: GivenSites) -> Dictionary:
        """See `Format.read`."""
        file = _file(path) or path / FILES[0]
        beside = file.parent / SETTINGS
        says = settings(beside) if beside.is_file() else Settings(beside, {})
        found = safetensors(file) if file.suffix == ".safetensors" else pickled(file)
        W_enc = found.take("encoder.weight", "sites", "d", "units").permute(2, 0, 1)
        W_dec = _decoder(found)
        if found.sizes["sites"] != W_dec.shape[1]:
            raise NotSupported(
                f"read the crosscoder {file}", found=f"{found.sizes['sites']} sites read and {W_dec.shape[1]} written",
                do="use its own code for it; here a crosscoder writes the sites that it reads",
            )  # fmt: skip
        architecture, extras = _architecture(found, W_dec, says)
        reads = sites.read(path, [None] * found.sizes["sites"])
        if sites.writes not in (None, reads):
            raise WrongUse(
                f"load the dictionary {path}", found=f"reads {list(reads)} and writes {list(sites.writes or ())}",
                do="leave `writes` out: these units write what they read",
            )  # fmt: skip
        weights = Weights(W_enc.flatten(1), found.take("encoder.bias", "units"), W_dec.flatten(1), extras)
        geometry = crosscoder(reads, found.sizes["d"], found.sizes["units"])
        b_dec = found.take("decoder.bias", "sites", "d")
        parts = Parts(geometry, architecture, Conventions(centred=False), [weights], b_dec)
        return assembled(parts, file, "crosscoder", says.values)


def is_crosscoder(file: Path) -> bool:
    """Whether a file of weights has an encoder with a matrix for each site."""
    return len((shapes_in(file) or {}).get("encoder.weight", ())) == 3


def _file(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix in (".pt", ".safetensors") else None
    return next((path / name for name in FILES if (path / name).is_file()), None)


def _decoder(found: Tensors) -> Float[Tensor, "u w d"]:
    """Write vectors; kept in one tensor, or as a table a site."""
    if "decoder.weight" in found:
        found.nothing_but((*KNOWN, "decoder.weight"))
        weight = found.take("decoder.weight", "written", "units", "d")
        return weight.permute(1, 0, 2)
    tables = [f"decoder.layers.{i}.weight" for i in range(found.sizes["sites"])]
    found.nothing_but((*KNOWN, *tables))
    return torch.stack([found.take(name, "units", "d") for name in tables], 1)


KNOWN = ("encoder.weight", "encoder.bias", "decoder.bias", "code_normalization_id", "k", "threshold")


def _architecture(
    found: Tensors, W_dec: Float[Tensor, "u w d"], says: Settings
) -> tuple[Architecture, dict[str, Tensor]]:
    if "threshold" not in found:
        return ReLU(), {}
    kind = found.whole("code_normalization_id") if "code_normalization_id" in found else OVER_SITES
    if kind not in (OVER_SITES, WHOLE, MIXED, NONE):
        raise NotSupported(
            f"read the crosscoder {found.path}", found="units that are active site by site",
            do="use its own code for it; here a unit has one activation for all its sites",
        )  # fmt: skip
    threshold = float(found.number("threshold"))
    if threshold < 0:
        raise NotSupported(
            f"read the crosscoder {found.path}", found="no threshold: its units are chosen batch by batch",
            do="train it on until its threshold is estimated",
        )  # fmt: skip
    return JumpReLU(), {"threshold": threshold / _lengths(W_dec, kind, says).clamp(min=1e-12)}


def _lengths(W_dec: Float[Tensor, "u w d"], kind: int, says: Settings) -> Float[Tensor, "u"]:
    """What each unit's activation is multiplied by before it is held to the threshold."""
    over_sites = torch.linalg.vector_norm(W_dec, dim=2).sum(1)
    whole = torch.linalg.vector_norm(W_dec.flatten(1), dim=1)
    of_whole = says.get("code_normalization_alpha_sae", float, 1.0)
    of_sites = says.get("code_normalization_alpha_cc", float, 0.1)
    by_kind = {
        OVER_SITES: over_sites,
        WHOLE: whole,
        MIXED: whole * of_whole + over_sites * of_sites,
        NONE: torch.ones_like(whole),
    }
    return by_kind[kind]
