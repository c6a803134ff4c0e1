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
from microtome.circuit.question import Question
from microtome.core.progress import track

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


def score_prompt(question: Question, ranked: Rankings, sizes: tuple[int, ...]) -> PromptScores:
    """Keeps and removes every set of every size, in batches of copies of the prompt."""
    differs = ranked.differs
    values = patched(question, torch.stack([torch.zeros_like(differs), differs]))
    kept, removed = [], []
    for size in track(sizes, "testing sets of units"):
        sets = ranked.sets(size)
        both = patched(question, torch.cat([~sets & differs, sets]))
        kept.append(both[: len(sets)])
        removed.append(both[len(sets) :])
    return PromptScores(
        torch.stack(kept).cpu().double().numpy(),
        torch.stack(removed).cpu().double().numpy(),
        float(values[0]),
        float(values[1]),
        int(differs.sum()),
        int(differs.sum()) / question.clean.n_candidates,
    )


def patched(question: Question, where: Bool[Tensor, "s k p u"]) -> Float[Tensor, "s"]:
    """The target with the units of each mask set to their baseline values; what no unit says stays as it is live."""
    found, ids, target = [], question.clean.frozen.ids, question.target
    for masks in where.split(max(1, TOKENS_AT_ONCE // len(ids))):
        interventions = []
        for i, block in enumerate(question.clean.blocks):
            width = block.values.shape[1]
            if bool(masks[:, i].any()):
                interventions.append(block.set(question.baseline.units[i, :, :width], masks[:, i, :, :width]))
        run = question.model.run([ids] * len(masks), target.sites, edits=interventions)
        found.append(target.of(run, question.model.anatomy))
    return torch.cat(found)
