"""A ratio over items, held against the same of what it has to beat."""

from collections.abc import Mapping

from microtome.bench.config import MeasureConfig
from microtome.core.errors import WrongUse
from microtome.evidence.intervals import difference_of_ratios, ratio_of_sums
from microtome.evidence.measurement import Measurement
from microtome.evidence.null import Null
from microtome.metrics.metric import HasItems


def measured(
    name: str, own: HasItems, theirs: Mapping[str, HasItems], measured_in: str, config: MeasureConfig,
    higher_is_better: bool = True,
) -> Measurement:  # fmt: skip
    """A ratio over documents beside the same of each null, each of one draw with an interval of the advantage.

    Documents in which there is nothing to explain (no variance; an ablation that costs nothing) are left out of all
    of them alike, and counted in what it is measured in.

    Raises:
        WrongUse: there is nothing to explain in any document.
    """
    ours, others = own.per_item(), {null: other.per_item() for null, other in theirs.items()}
    kept = ours.denominators > 0
    if not kept.any():
        raise WrongUse(
            f"measure the {name}", found=f"nothing to explain in any of {len(kept)} documents",
            do="give texts that the model reads better than an ablated one; a random model reads none better",
        )  # fmt: skip
    if not kept.all():
        measured_in += f"; {int((~kept).sum())} of {len(kept)} documents left out, in which there is nothing to explain"
    above, below = ours.numerators[kept], ours.denominators[kept]
    value, interval = ratio_of_sums(above, below, config.level, config.seed)
    nulls = []
    for null, other in others.items():
        beaten = other.numerators[kept]
        advantage = difference_of_ratios(above, beaten, below, config.level, config.seed).interval
        draw = float(beaten.sum() / other.denominators[kept].sum())
        nulls.append(Null.against(null, value, [draw], higher_is_better, effect_interval=advantage))
    return Measurement(name, value, interval, config.level, tuple(nulls), int(kept.sum()), config.seed, measured_in)
