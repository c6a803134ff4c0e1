"""Running the model with some units kept and all others at their counterfactual values.

Tokens and embeddings stay clean, attention and norms stay live. Wang et al. 2022 (arXiv 2211.00593) for
faithfulness and completeness; Mueller et al. 2025 (arXiv 2504.13151) for the normalised form.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.circuit.nodesets import Rankings
from microtome.circuit.target import Target
from microtome.core.progress import track
from microtome.model import edits
from microtome.model.model import Model

TOKENS_AT_ONCE = 768


@dataclass(frozen=True)
class PromptScores:
    """Target values of one prompt.

    Attributes:
        kept: with each set kept alone, `[size, set]`; sets are the circuit, the change null, the draws.
        removed: with each set removed, `[size, set]`.
        clean, empty: with nothing and with everything at its counterfactual value.
        differing: units that differ between the prompts; `share`: of all units.
    """

    kept: Float[np.ndarray, "n s"]
    removed: Float[np.ndarray, "n s"]
    clean: float
    empty: float
    differing: int
    share: float

    @property
    def span(self) -> float:
        """What there is to explain: the denominator of both figures."""
        return self.clean - self.empty


def score_prompt(
    model: Model,
    ids: list[int],
    other: Float[Tensor, "l p u"],
    target: Target,
    ranked: Rankings,
    sizes: tuple[int, ...],
) -> PromptScores:
    """Keeps and removes every set of every size, in batches of copies of the prompt."""
    differs = ranked.differs
    values = patched(model, ids, other, target, torch.stack([torch.zeros_like(differs), differs]))
    kept, removed = [], []
    for size in track(sizes, "testing sets of units"):
        sets = ranked.sets(size)
        both = patched(model, ids, other, target, torch.cat([~sets & differs, sets]))
        kept.append(both[: len(sets)])
        removed.append(both[len(sets) :])
    return PromptScores(
        torch.stack(kept).cpu().double().numpy(),
        torch.stack(removed).cpu().double().numpy(),
        float(values[0]),
        float(values[1]),
        int(differs.sum()),
        int(differs.sum()) / differs.numel(),
    )


def patched(
    model: Model,
    ids: list[int],
    other: Float[Tensor, "l p u"],
    target: Target,
    where: Bool[Tensor, "s l p u"],
) -> Float[Tensor, "s"]:
    """The target with the units of each mask set to their counterfactual values."""
    found = []
    widths = [layer.n_units for layer in model.anatomy.layers]
    for masks in where.split(max(1, TOKENS_AT_ONCE // len(ids))):
        interventions = [
            edits.set(f"mlp.neurons.{i}", other[i, None, :, :width], where=masks[:, i, :, :width], may_be_empty=True)
            for i, width in enumerate(widths)
            if bool(masks[:, i].any())
        ]
        run = model.run([ids] * len(masks), ["norm.final"], edits=interventions)
        found.append(target.read(run["norm.final"][:, target.position], model.anatomy))
    return torch.cat(found)
