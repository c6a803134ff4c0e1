"""How much of what was planted a dictionary found."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.dictionary.dictionary import Dictionary
from microtome.metrics.explained_variance import ExplainedVariance
from microtome.metrics.recovery import FalseUnits, MatchedCosine, RecoveredFraction, SplitFraction
from microtome.toy.planted.features import SITE, Planted, Truth

AT_ONCE = 4096
OF_PARENT = 0.7  # cosine from which a unit may stand for a parent


@dataclass(frozen=True)
class Recovery(Config):
    """Figures of a dictionary against the truth.

    Attributes:
        matched_cosine, recovered_fraction, false_units, split_fraction: see the metrics of these names; of units that
            fired.
        absorbed: share of tokens with a parent and a child in which no unit of the parent fires, over parents that
            have a unit which fires for most of their tokens without a child; 0 where no parent has one.
        variance_explained: of the activations.
        l0: active units a token.
        dead: share of units that never fired.
    """

    matched_cosine: float
    recovered_fraction: float
    false_units: float
    split_fraction: float
    absorbed: float
    variance_explained: float
    l0: float
    dead: float


def recovery(dictionary: Dictionary, planted: Planted, *, tokens: int = 16_384, seed: int = 1) -> Recovery:
    """Holds a dictionary against what was planted, on tokens that no training saw.

    Raises:
        WrongUse: the dictionary does not read and write the planted site, or none of its units ever fires.
    """
    if dictionary.geometry.sites != (SITE,):
        raise WrongUse(
            "score a dictionary against planted features", found=f"one of {', '.join(dictionary.geometry.sites)}",
            do=f"train it on the planted activations, at {SITE!r}",
        )  # fmt: skip
    random, variance = torch.Generator().manual_seed(seed), ExplainedVariance()
    fired, active = [], []
    for size in (min(AT_ONCE, tokens - start) for start in range(0, tokens, AT_ONCE)):
        x, sizes = planted.sample(size, random)
        with torch.no_grad():
            codes = dictionary.encode(x)
            variance.add(x, dictionary.decode(codes))
        fired.append(codes.dense() != 0)
        active.append(sizes > 0)
    on, truth = torch.cat(fired), planted.truth
    alive = on.any(0)
    if not bool(alive.any()):
        raise WrongUse("score a dictionary", found="no unit fired", do="train it longer, or look at its doctor's words")
    (block,) = dictionary.units
    units = block.W_dec.detach()[alive]
    metrics = {one.name: one for one in (MatchedCosine(), RecoveredFraction(), FalseUnits(), SplitFraction())}
    for one in metrics.values():
        one.add(truth.directions, units)
    return Recovery(
        **{name: one.value() for name, one in metrics.items()},
        absorbed=absorbed(truth, torch.cat(active), units, on[:, alive]),
        variance_explained=variance.value(),
        l0=float(on.sum(1).float().mean()),
        dead=1 - float(alive.float().mean()),
    )


def absorbed(truth: Truth, active: Bool[Tensor, "t f"], units: Float[Tensor, "u d"], on: Bool[Tensor, "t u"]) -> float:
    """How often a parent goes unsaid because its child is said."""
    unit = units / torch.linalg.vector_norm(units, dim=1, keepdim=True)
    silent = together = 0
    for parent in truth.parents[truth.parents >= 0].unique().tolist():
        best, own = (unit @ truth.directions[parent]).max(0)
        child = active[:, truth.parents == parent].any(1)
        alone = active[:, parent] & ~child
        if best < OF_PARENT or not alone.any() or on[alone, own].float().mean() < 0.5:
            continue
        silent += int((child & ~on[:, own]).sum())
        together += int(child.sum())
    return silent / together if together else 0.0
