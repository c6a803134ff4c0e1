"""Schedules: what the spans of a configuration are in the tokens of one run."""

import math
from dataclasses import dataclass
from functools import cached_property

from microtome.train.config import RunConfig, TrainConfig
from microtome.train.span import tokens_of

RATE, AT_UNITS = 2e-4, 2**14
AT_STEPS, AT_MOST = 50_000, 8.0


@dataclass(frozen=True)
class Schedule:
    """A configuration's spans in a run; every `at` counts the tokens that were learned before a step."""

    training: TrainConfig
    run: RunConfig

    @cached_property
    def tokens(self) -> int:
        """Of the whole run, which is whole batches."""
        return self.run.steps * self.run.batch

    @cached_property
    def dead_after(self) -> int:
        """Tokens without which a unit counts as dead."""
        return self.of(self.training.dead_after)

    @cached_property
    def resampled_at(self) -> tuple[int, ...]:
        """Tokens after which dead units begin anew."""
        return tuple(self.of(span) for span in self.training.resample_at)

    def of(self, span: str) -> int:
        """The tokens of a span of this run."""
        return tokens_of(span, self.tokens)

    def rate(self, at: int) -> float:
        """What the learning rate is multiplied by: a line up, 1, and a line down that reaches zero after the end."""
        up = (at + self.run.batch) / max(self.of(self.training.warm_up), 1)
        down = (self.tokens - at) / max(self.of(self.training.decay), 1)
        return min(1.0, up, down)

    def ramp(self, at: int) -> float:
        """What penalties are multiplied by."""
        return min(1.0, (at + self.run.batch) / max(self.of(self.training.ramp), 1))


def usual_rate(units: int, steps: int) -> float:
    """The learning rate where none is given: 2e-4 · √(2¹⁴ / units) · √(50,000 / steps).

    The first two factors are of Gao et al. 2024, section 3, whose runs take more than fifty thousand steps. In a run
    of some hundreds, parameters that start at random do not come far at that rate; the third factor lets them. It is
    no less than 1 and no more than 8.
    """
    shortness = min(max(math.sqrt(AT_STEPS / steps), 1.0), AT_MOST)
    return RATE * math.sqrt(AT_UNITS / units) * shortness


def crossed(every: int, before: int, after: int) -> bool:
    """Whether a multiple of `every` lies above `before` and not above `after`."""
    return after // max(every, 1) > before // max(every, 1)
