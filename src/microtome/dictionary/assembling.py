"""Dictionaries from the weights of foreign files, and their weights as foreign files want them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.artefact import RunCard
from microtome.core.errors import NotSupported
from microtome.core.fingerprint import of_tensors
from microtome.dictionary.architecture import Architecture
from microtome.dictionary.architectures.batchtopk import BatchTopK
from microtome.dictionary.architectures.jumprelu import JumpReLU
from microtome.dictionary.architectures.relu import ReLU
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.geometry import Geometry
from microtome.dictionary.units import Units


@dataclass(frozen=True, eq=False)
class Weights:
    """One block's weights, a row a unit.

    Attributes:
        W_enc, b_enc, W_dec: read vectors, their biases, write vectors.
        extras: what the architecture has besides, by its names.
    """

    W_enc: Float[Tensor, "u rd"]
    b_enc: Float[Tensor, "u"]
    W_dec: Float[Tensor, "u we"]
    extras: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Parts:
    """Everything of a foreign dictionary.

    Attributes:
        geometry, architecture, conventions: see `Dictionary`.
        blocks: the weights of each.
        b_dec: what is written without any unit, a row a site.
        skips: the map of each pair of sites, or none.
    """

    geometry: Geometry
    architecture: Architecture
    conventions: Conventions
    blocks: Sequence[Weights]
    b_dec: Float[Tensor, "w e"]
    skips: Sequence[Float[Tensor, "e d"]] = ()


def assembled(parts: Parts, source: Path, format: str, says: dict[str, Any], model: str | None = None) -> Dictionary:
    """The dictionary, with a card that says where it was read.

    Args:
        parts: its weights and what is done with them.
        source: the files.
        format: theirs.
        says: their settings, kept on the card.
        model: whose activations it was trained on, where they say so.
    """
    state = {"b_dec": parts.b_dec}
    for i, block in enumerate(parts.blocks):
        own = {"W_enc": block.W_enc, "b_enc": block.b_enc, "W_dec": block.W_dec, **block.extras}
        state |= {f"blocks.{i}.{name}": tensor for name, tensor in own.items()}
    if parts.skips:
        state["W_skip"] = parts.skips[0] if len(parts.blocks) == 1 else torch.stack(list(parts.skips))
    card = RunCard(
        "dictionary", 1, config={"read from": str(source), "format": format, "settings": says},
        model={"name": model} if model else {}, data={"weights": of_tensors(sorted(state.items()))},
    )  # fmt: skip
    made = Dictionary(parts.geometry, parts.architecture, parts.conventions, card)
    made.load_state_dict(state)
    return made


def thresholds(found: Float[Tensor, "u"]) -> dict[str, Tensor]:
    """Thresholds as JumpReLU keeps them; below zero they are zero, where a ReLU goes before the jump."""
    return {"threshold": found.clamp(min=0.0)}


def bounds(architecture: Architecture, units: Units) -> Float[Tensor, "u"] | None:
    """What each unit's activation must be above, for formats with ReLU and JumpReLU alone; None for zero.

    Raises:
        NotSupported: it is decided otherwise.
    """
    with torch.no_grad():
        match architecture:
            case ReLU():
                return None
            case JumpReLU():
                return units.extra("threshold")
            case BatchTopK():
                scale = units.norms.clamp(min=1e-12) if architecture.by_norm else torch.ones_like(units.b_enc)
                return units.extra("threshold").clamp(min=0.0) / scale
            case _:
                raise NotSupported(
                    f"write units that are active by the rule {architecture.name!r}",
                    found="a format that knows thresholds only",
                    do="choose another format, or keep it in microtome's own",
                )
