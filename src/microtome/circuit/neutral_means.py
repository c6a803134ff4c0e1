"""Means over the neutral prompts, of every unit of a basis: worked out once for a model and its units, and kept."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from microtome.circuit.basis import BlockUnits
from microtome.core.errors import WrongUse
from microtome.core.fingerprint import of_value
from microtome.model.model import Model
from microtome.model.neutral import NEUTRAL
from microtome.model.sources.cache import built_once, cache_root

NOTICES = logging.getLogger(__name__)
FORMAT, FILE = 1, "means.safetensors"


@dataclass(frozen=True)
class NeutralMeans:
    """Means at position 0, and over all other positions.

    Attributes:
        units: of each block, with its units that no column stands for, `[2, n_units]`.
        embed: of what enters layer 0, `[2, d]`.
    """

    units: list[Tensor]
    embed: Float[Tensor, "2 d"]


def neutral_means(model: Model, blocks: Sequence[BlockUnits]) -> NeutralMeans:
    """Those of a model's blocks, as kept in the cache; where it cannot be written to, worked out each time."""
    folder = cache_root() / "baselines" / _key(model, blocks)
    try:
        built_once(folder, lambda to: _keep(_worked_out(model, blocks), to))
    except WrongUse as error:
        NOTICES.warning("microtome: cannot keep the means over neutral prompts (%s)", error.found)
        return _worked_out(model, blocks)
    found = {name: one.to(blocks[0].values) for name, one in load_file(folder / FILE).items()}
    return NeutralMeans([found[str(i)] for i in range(len(blocks))], found["embed"])


def _key(model: Model, blocks: Sequence[BlockUnits]) -> str:
    units = [(block.name, block.origin, block.n_units) for block in blocks]
    weights = model.fingerprint, model.card["dtype"]
    made = {"format": FORMAT, "model": weights, "units": units, "prompts": NEUTRAL}
    return of_value(made)


def _keep(found: NeutralMeans, folder: Path) -> dict[str, Any]:
    tensors = {str(i): one.cpu().contiguous() for i, one in enumerate(found.units)}
    save_file(tensors | {"embed": found.embed.cpu().contiguous()}, folder / FILE)
    return {"what": "means over neutral prompts"}


def _worked_out(model: Model, blocks: Sequence[BlockUnits]) -> NeutralMeans:
    sites = dict.fromkeys(site for block in blocks for site in block.sites)
    run = model.run(NEUTRAL, ["embed", *sites])
    later = run.mask.clone()
    later[:, 0] = False
    first = torch.zeros_like(later)
    first[:, 0] = True
    units = [
        torch.stack([block.means({site: run[site][where] for site in block.sites}) for where in (first, later)])
        for block in blocks
    ]
    return NeutralMeans(units, torch.stack([run["embed"][where].mean(0) for where in (first, later)]))
