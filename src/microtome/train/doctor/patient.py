"""What a check may look at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from microtome.train.job import Job
from microtome.train.schedule import Schedule
from microtome.train.tally import Reading
from microtome.train.trainee import Rows, Trainee


@dataclass(frozen=True, eq=False)
class Patient:
    """One dictionary in training.

    Attributes:
        trainee: as it stands.
        rows: the newest batch, as the source gave it.
        readings: so far, the newest last.
        at: tokens learned.
        fresh: gives batches that were not learned from.
    """

    trainee: Trainee
    rows: Rows
    readings: tuple[Reading, ...]
    at: int
    fresh: Callable[[], Iterator[Rows]]

    @property
    def job(self) -> Job:
        """What is trained."""
        return self.trainee.job

    @property
    def schedule(self) -> Schedule:
        """Spans of the run in tokens."""
        return self.trainee.schedule

    @property
    def reading(self) -> Reading:
        """The newest figures."""
        return self.readings[-1]

    @property
    def share(self) -> float:
        """How much of the run is over, from 0 to 1."""
        return self.at / self.schedule.tokens

    def raw(self, site: str) -> Float[Tensor, "t d"]:
        """The newest batch at a site, as the source gave it."""
        return self.rows[site]
