"""How much of what was planted a dictionary found."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.dictionary.dictionary import Dictionary
from microtome.metrics.explained_variance import ExplainedVariance
from microtome.metrics.families import FamilyAbsorption, FamilySplitting
from microtome.metrics.recovery import FalseUnits, MatchedCosine, RecoveredFraction, SplitFraction
from microtome.toy.planted.features import SITE, Planted, Truth

AT_ONCE = 4096


@dataclass(frozen=True)
class Recovery(Config):
    """Figures of a dictionary against the truth.

    Attributes:
        matched_cosine, recovered_fraction, false_units, split_fraction: see the metrics of these names; of units that
            fired. A unit of either sign lies along what it writes more of.
        absorbed: `family_absorption`; None where no parent has a unit of its own.
        absorbed_by_chance: what that would be if parents' units were silent no more often beside a child than without.
        parents_split: `family_splitting`; None where there are no families.
        variance_explained: of the activations.
        l0: active units a token.
        dead: share of units that never fired.
    """

    matched_cosine: float
    recovered_fraction: float
    false_units: float
    split_fraction: float
    absorbed: float | None
    absorbed_by_chance: float | None
    parents_split: float | None
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
        fired.append(codes.dense())
        active.append(sizes > 0)
    values, truth = torch.cat(fired), planted.truth
    on = values != 0
    alive = on.any(0)
    if not bool(alive.any()):
        raise WrongUse("score a dictionary", found="no unit fired", do="train it longer, or look at its doctor's words")
    (block,) = dictionary.units
    signs = torch.where(values.sum(0) < 0, -1.0, 1.0)
    units = (block.W_dec.detach() * signs[:, None])[alive]
    metrics = {one.name: one for one in (MatchedCosine(), RecoveredFraction(), FalseUnits(), SplitFraction())}
    for one in metrics.values():
        one.add(truth.directions, units)
    scores: dict[str, float | None] = {name: one.value() for name, one in metrics.items()}
    scores |= _families(truth, torch.cat(active), units, on[:, alive])
    scores |= {"variance_explained": variance.value(), "l0": float(on.sum(1).float().mean())}
    return Recovery.from_dict({**scores, "dead": 1 - float(alive.float().mean())})


def _families(
    truth: Truth, active: Bool[Tensor, "t f"], units: Float[Tensor, "u d"], on: Bool[Tensor, "t u"]
) -> dict[str, float | None]:
    absorption = FamilyAbsorption(truth.directions, truth.parents, units)
    splitting = FamilySplitting(truth.directions, truth.parents, units)
    for one in (absorption, splitting):
        one.add(active, on)
    told: dict[str, tuple[FamilyAbsorption | FamilySplitting, Callable[[], float]]] = {
        "absorbed": (absorption, absorption.value),
        "absorbed_by_chance": (absorption, absorption.by_chance),
        "parents_split": (splitting, splitting.value),
    }
    return {name: value() if len(one.per_item().items) else None for name, (one, value) in told.items()}
