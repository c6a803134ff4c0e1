"""A dictionary while it is trained: its optimiser, its scale of inputs, and when each unit last fired."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.core.batches import BatchSource
from microtome.dictionary.architecture import Moment, Outcome
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.folding import for_raw_inputs
from microtome.dictionary.share import Share
from microtome.dictionary.starting import untrained
from microtome.train.centre import middle
from microtome.train.job import Job
from microtome.train.memory import given_back, kept_for_the_next_step
from microtome.train.schedule import Schedule, usual_rate
from microtome.train.tally import Reading, Tally, added, loss_in, sums_of
from microtome.train.team import ALONE, Team
from microtome.train.unit_length import freed_along, made_unit

Rows = Mapping[str, Float[Tensor, "t _"]]
PLACES, LEAST = 1 << 20, 64  # active places, and rows, that are learned from at a time, at most and at least


class Trainee:
    """One job's dictionary in training.

    Inputs are scaled so that E‖x‖² = d at each site, by what the source says of it; `finished` folds that away.

    Attributes:
        job: what is trained.
        dictionary: as it stands, for scaled inputs.
        schedule: its spans in tokens.
        scales: of each site, what its rows are multiplied by.
        since: tokens since each unit fired, block after block, `[u]`.
        slowed: what the learning rate is multiplied by beside its schedule; the doctor lowers it.
        tally: of the steps since the last reading.
        random: of everything drawn on the way.
        team: the processes that hold the other units, and learn from the other parts of a batch.
        n_units: in all processes.
        places: active ones of a token in the last step, the most that a process had; all units before the first. Kept
            where a batch is learned from in parts.
    """

    def __init__(
        self, job: Job, schedule: Schedule, source: BatchSource, device: torch.device, team: Team = ALONE
    ):  # fmt: skip
        kept_for_the_next_step()
        self.job = job
        self.schedule = schedule
        self.team = team
        training = job.training
        length = 1.0 if training.decoder == "unit" else training.length
        geometry = job.geometry(source.widths)
        made = untrained(
            geometry, job.architecture, job.conventions, seed=job.seed, length=length, shares=team.shares(geometry)
        )
        self.dictionary: Dictionary = made.to(device)
        norms = source.mean_squared_norms
        self.scales = {site: math.sqrt(source.widths[site] / max(norms[site], 1e-30)) for site in job.sites}
        self.parameters = {name: p for name, p in self.dictionary.named_parameters() if p.requires_grad}
        largest = max(block.units for block in geometry.blocks)
        self.rate = training.lr or usual_rate(largest, schedule.run.steps)
        self.optimiser = torch.optim.Adam(self.parameters.values(), lr=self.rate, betas=training.betas, fused=True)
        self.n_units = geometry.n_units
        self.since = torch.zeros(made.n_units, dtype=torch.int64, device=device)
        self.slowed = 1.0
        self.places = self.n_units
        self.tally = Tally(team)
        self.random = torch.Generator().manual_seed(job.seed)

    def rows(self, rows: Rows) -> tuple[Float[Tensor, "t r d"], Float[Tensor, "t w e"]]:
        """Scaled inputs and what is to be reconstructed of them; the same tensor where both are one."""
        x = self._scaled(rows, self.job.reads)
        return x, (x if self.job.reads == self.job.writes else self._scaled(rows, self.job.writes))

    def begin(self, rows: Rows) -> None:
        """Puts b_dec into the middle of a first batch."""
        with torch.no_grad():
            self.dictionary.b_dec.copy_(middle(self.rows(rows)[1], self.job.training.centre))

    def learn(self, rows: Rows, at: int) -> None:
        """One step, `at` tokens having been learned. What is not finite is not learned from, and leaves no trace."""
        own = self.team.part(len(rows[self.job.reads[0]]))
        x, y = self.rows({site: rows[site][own] for site in self.job.sites})
        outcome, sums = self._backward(x, y, Moment(self.schedule.ramp(at), self.dead_blocks))
        self.team.average(self.dictionary)
        if self.job.training.decoder == "unit":
            freed_along(self.dictionary)
        limit = math.inf if self.job.training.clip is None else self.job.training.clip
        gradient = self.team.clipped(self.dictionary, limit)
        if bool(torch.isfinite(gradient + loss_in(sums))):
            self._step(at)
            self._settle(outcome, sums, gradient)
        else:
            self.tally.skip(self.rows(rows)[0])
        self.optimiser.zero_grad(set_to_none=True)

    @property
    def dead(self) -> Bool[Tensor, "u"]:
        """Which units have not fired within the window."""
        return self.since > self.schedule.dead_after

    @property
    def dead_blocks(self) -> tuple[Bool[Tensor, "_"], ...]:
        """The same, block by block."""
        return self.dead.split([block.units for block in self.dictionary.geometry.blocks])

    def read(self, tokens: int) -> Reading:
        """Figures of the steps since the last reading, and a new tally."""
        rate = float(self.optimiser.param_groups[0]["lr"])
        width = len(self.job.reads) * self.dictionary.geometry.d_in
        dead = float(self.team.all_units(self.dead.double()).mean())
        found = self.tally.read(tokens=tokens, dead=dead, rate=rate, width=width)
        self.tally = Tally(self.team)
        return Reading.from_dict(self.team.gathered(found.to_dict())[0])  # the doctor decides by it, everywhere alike

    @property
    def shares(self) -> tuple[Share, ...]:
        """Which units of each block lie here."""
        return tuple(units.share for units in self.dictionary.units)

    def finished(self) -> Dictionary:
        """The dictionary for raw inputs, its write vectors of one length."""
        reads, writes = ([self.scales[site] for site in sites] for sites in (self.job.reads, self.job.writes))
        return self.team.whole(for_raw_inputs(self.dictionary, reads, writes), self.shares)

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        moments = {name: dict(self.optimiser.state[p]) for name, p in self.parameters.items()}
        return {
            "weights": {name: tensor.detach() for name, tensor in self.dictionary.state_dict().items()},
            "adam": moments,
            "since": self.since,
            "scales": self.scales,
            "slowed": self.slowed,
            "places": self.places,
            "random": self.random.get_state(),
            "tally": self.tally.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` gave."""
        device = self.since.device
        self.dictionary.load_state_dict(state["weights"])
        for name, parameter in self.parameters.items():
            self.optimiser.state[parameter] = {key: value.to(device) for key, value in state["adam"][name].items()}
        self.since = state["since"].to(device)
        self.scales = state["scales"]
        self.slowed = state["slowed"]
        self.places = state.get("places", self.places)  # older checkpoints lack it
        self.random.set_state(state["random"])
        self.tally.restore(state["tally"], device)

    def _scaled(self, rows: Rows, sites: tuple[str, ...]) -> Float[Tensor, "t r d"]:
        device = self.since.device
        if len(sites) == 1:
            return (rows[sites[0]].to(device, torch.float32) * self.scales[sites[0]])[:, None]
        factors = torch.tensor([self.scales[site] for site in sites], device=device)
        return torch.stack([rows[site].to(device, torch.float32) for site in sites], 1).mul_(factors[:, None])

    def _step(self, at: int) -> None:
        self.optimiser.param_groups[0]["lr"] = self.rate * self.schedule.rate(at) * self.slowed
        self.optimiser.step()
        if self.job.training.decoder == "unit":
            made_unit(self.dictionary)

    def _backward(self, x: Tensor, y: Tensor, moment: Moment) -> tuple[Outcome, Mapping[str, Tensor]]:
        """Adds up gradients, and sums for figures; returns the outcome of the last part of the batch with them."""
        size = self._together(len(x))
        places = 0
        xs = x.split(size)
        sums = dict[str, Tensor]()
        outcome = None
        for one, other in zip(xs, xs if x is y else y.split(size), strict=True):
            outcome = self.dictionary.architecture.outcome(self.dictionary, one, other, moment)
            (outcome.loss * (len(one) / len(x))).backward()
            sums = added(sums, sums_of(one, other, outcome))
            places += sum(len(active.picks) for active in outcome.active)
            if len(xs) > 1:  # each part has other numbers of places: what was freed would fit none of them
                given_back()
        if self.job.architecture.by_token:
            (self.places,) = self.team.largest([-(-places // len(x))])
        assert outcome is not None, "a batch without rows"
        return outcome, self.team.summed(sums)

    def _together(self, rows: int) -> int:
        """How many rows are learned from at a time, in all processes: fewer, the more places the last step had."""
        if not self.job.architecture.by_token:
            return rows
        return min(rows, max(LEAST, PLACES // max(self.places, 1)))

    def _settle(self, outcome: Outcome, sums: Mapping[str, Tensor], gradient: Tensor) -> None:
        with torch.no_grad():
            self.dictionary.architecture.settle(outcome)
            tokens = int(sums["tokens"])
            self.since = torch.where(sums["fired"] > 0, 0, self.since + tokens)
            self.tally.add(sums, gradient)
