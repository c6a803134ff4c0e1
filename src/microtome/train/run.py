"""The loop: one pass over the data, in which every job learns from the same batches."""

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import fmean
from typing import Any

from microtome.core.artefact import RunCard
from microtome.core.batches import BatchSource
from microtome.core.progress import Step, working
from microtome.dictionary.dictionary import Dictionary
from microtome.train import resharding
from microtome.train.clock import Clock
from microtome.train.config import RunConfig
from microtome.train.doctor.doctor import Doctor, Report
from microtome.train.doctor.patient import Patient
from microtome.train.job import Job
from microtome.train.log import Sink, opened, strict
from microtome.train.memory import given_back
from microtome.train.resampling import BATCHES, resample
from microtome.train.same_run import check_same, settings_of
from microtome.train.schedule import Schedule, crossed
from microtome.train.stopping import asked_to_stop
from microtome.train.tally import Reading
from microtome.train.team import ALONE, Team
from microtome.train.trainee import Rows, Trainee


class Run:
    """A pass over the data that can be stopped at any step and goes on bit for bit.

    Attributes:
        source: of batches.
        jobs: what is trained.
        config: of the pass.
        folder: for log and checkpoints; None for none.
        team: the processes that train together.
        trainees: a dictionary in training for each job.
        step: batches learned.
        readings: of each job, in order.
        reports: what the doctor said.
    """

    def __init__(
        self, source: BatchSource, jobs: Sequence[Job], config: RunConfig, folder: Path | None, team: Team = ALONE
    ):  # fmt: skip
        self.source = source
        self.jobs = tuple(jobs)
        self.config = config
        self.folder = folder
        self.team = team
        device = team.device(config.device)
        self.trainees = [Trainee(job, Schedule(job.training, config), source, device, team) for job in jobs]
        self.sites = tuple(dict.fromkeys(site for job in jobs for site in job.sites))
        self.step = 0
        self.readings: list[list[Reading]] = [[] for _ in jobs]
        self.doctor = Doctor(config.doctor)
        self.reports: list[Report] = []
        self._since = 0.0, 0  # when the last reading was, and after how many tokens

    @property
    def at(self) -> int:
        """Tokens learned."""
        return self.step * self.config.batch

    def go(self) -> list[Dictionary]:
        """Learns to the end.

        Raises:
            TrainingStopped: the doctor stopped it; a checkpoint holds the state before.
            KeyboardInterrupt, SystemExit: somebody stopped it; a checkpoint holds the state.
        """
        total = self.config.steps * self.config.batch
        label = self.jobs[0].name if len(self.jobs) == 1 else f"training {len(self.jobs)} dictionaries"
        clock = Clock(self.config.checkpoint_every, total)
        with (
            opened(self.folder, self.config, tokens=self.at) if self.team.leads else nullcontext([]) as sinks,
            asked_to_stop() as stop,
            working(label, total) as shown,
        ):
            shown(self.at)
            self._since = time.perf_counter(), self.at
            while self.step < self.config.steps:
                self._advance(sinks, shown)
                due = clock.due(self.at) and self.team.leads
                signal, due = self.team.largest((stop.signal or 0, int(due)))  # all stop, and save, at one step
                if signal or due:
                    self.save()
                if signal:
                    stop.signal = signal
                    stop.leave(self._kept)
        return [self._finished(i) for i in range(len(self.jobs))]

    def save(self) -> None:
        """Writes a checkpoint, where there is a folder for it."""
        if self.folder is not None:
            self.team.write(self.folder, self.state(), [trainee.shares for trainee in self.trainees])

    @property
    def _kept(self) -> str:
        if self.folder is None:
            return "nothing half-written"
        return f"{self.at:,} tokens are learned and lie in {self.folder}; resumed, it goes on from there"

    def state(self) -> dict[str, Any]:
        """All that the rest of the run depends on."""
        return {
            **settings_of(self.jobs, self.config),
            "step": self.step,
            "source": self.source.state(),
            "trainees": [trainee.state() for trainee in self.trainees],
            "readings": [[reading.to_dict() for reading in one] for one in self.readings],
            "doctor": self.doctor.state(),
            "reports": [report.to_dict() for report in self.reports],
        }

    def resume(self) -> None:
        """Goes on from the checkpoint in its folder, whatever number of processes saved it.

        Raises:
            MissingFile: there is none.
            FormatError: it is damaged, or of a newer format.
            WrongUse: the run had other settings; the message names them.
        """
        assert self.folder is not None
        self._restore(resharding.read(self.folder, [trainee.shares for trainee in self.trainees], self._agree))

    def _agree(self, state: dict[str, Any]) -> None:
        """Raises where a state is another run's."""
        check_same(settings_of(self.jobs, self.config), state)

    def _restore(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.source.restore(state["source"])
        for trainee, theirs in zip(self.trainees, state["trainees"], strict=True):
            trainee.restore(theirs)
        self.readings = [[Reading.from_dict(one) for one in theirs] for theirs in state["readings"]]
        self.doctor.restore(state["doctor"])
        self.reports = [Report.from_dict(one) for one in state["reports"]]

    @property
    def _every(self) -> int:
        return self.trainees[0].schedule.of(self.config.log_every)

    def _advance(self, sinks: Sequence[Sink], shown: Step) -> None:
        rows = self._batch()
        before = self.at
        if self.step == 0:
            for i, trainee in enumerate(self.trainees):
                trainee.begin(rows)
                self._look("start", i, rows, sinks)
        for trainee in self.trainees:
            trainee.learn(rows, before)
        self.step += 1
        shown(self.config.batch)
        for trainee in self.trainees:
            if any(before < due <= self.at for due in trainee.schedule.resampled_at):
                resample(trainee, self._fresh(), self.at)
        reads = crossed(self._every, before, self.at) or self.step == self.config.steps
        if reads or len(self.trainees) > 1:  # what one trainee freed, another may need in other sizes
            given_back()
        if reads:
            self._read(rows, sinks, shown)

    def _batch(self) -> Rows:
        return self.source.batch(self.config.batch, self.sites)

    def _fresh(self) -> Iterator[Rows]:
        return (self._batch() for _ in range(BATCHES))

    def _read(self, rows: Rows, sinks: Sequence[Sink], shown: Step) -> None:
        began, from_ = self._since
        speed = (self.at - from_) / max(time.perf_counter() - began, 1e-9)
        self._since = time.perf_counter(), self.at
        new = [trainee.read(self.at) for trainee in self.trainees]
        for job, reading, kept in zip(self.jobs, new, self.readings, strict=True):
            kept.append(reading)
            for sink in sinks:
                sink(job.name, self.at, {**reading.to_dict(), "loss": reading.loss, "tokens_per_second": speed})
        shown.say(f"{_said(new)}, {speed:,.0f} tokens/s")
        for i in range(len(self.jobs)):
            self._look("reading", i, rows, sinks)

    def _look(self, when: str, i: int, rows: Rows, sinks: Sequence[Sink]) -> None:
        patient = Patient(self.trainees[i], rows, tuple(self.readings[i]), self.at, self._fresh)
        for report in self.doctor.look(when, patient):
            self.reports.append(report)
            for sink in sinks:
                sink(self.jobs[i].name, self.at, {"doctor": str(report)})
            if report.action == "stop" and self.step:
                self.save()
            if self.team.leads or report.action == "stop":
                report.act()

    def _finished(self, i: int) -> Dictionary:
        job = self.jobs[i]
        made = self.trainees[i].finished()
        data = self.source.card
        made.card = RunCard(
            "dictionary", 1, job.seed, model={str(k): str(v) for k, v in data.get("model", {}).items()}, data=data,
            config={
                "job": job.to_dict(),
                "run": self.config.to_dict(),
                "learning_rate": self.trainees[i].rate,
                "scales": self.trainees[i].scales,
                "tokens": self.at,
                "final": strict(self.readings[i][-1].to_dict()),
                "doctor": [report.to_dict() for report in self.reports if report.job == job.name],
            },
        )  # fmt: skip
        return made


def _said(readings: Sequence[Reading]) -> str:
    """One reading, or several in a few words."""
    if len(readings) == 1:
        return str(readings[0])
    explained = [one.variance_explained for one in readings]
    dead = fmean(one.dead for one in readings)
    return f"variance explained {fmean(explained):.3f} (worst {min(explained):.3f}), dead {dead:.1%}"
