"""The doctor asks every check, and does about an illness what the settings say."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from microtome.core.config import Config
from microtome.core.errors import TrainingStopped, WrongUse
from microtome.train.doctor import checks as checks  # so that every one registers itself
from microtome.train.doctor.check import CHECKS, Check, Curable
from microtome.train.doctor.patient import Patient

ACTIONS = ("stop", "repair", "warn", "off")


class TrainingWarning(UserWarning):
    """An illness of a run that goes on."""


@dataclass(frozen=True)
class Report(Config):
    """What the doctor says of one dictionary.

    Attributes:
        job, check: whose, and which illness.
        at: tokens learned when it was seen.
        action: what is done about it.
        found, do: in words: what and why, and what the user may do.
        done: what was repaired.
    """

    job: str
    check: str
    at: int
    action: str
    found: str
    do: str
    done: str = ""

    def __str__(self) -> str:
        said = f"{self.job}, after {self.at:,} tokens: {self.check.replace('_', ' ')}\n  found: {self.found}"
        return f"{said}\n  done:  {self.done}" if self.done else f"{said}\n  do:    {self.do}"

    def act(self) -> None:
        """Stops, or warns.

        Raises:
            TrainingStopped: the action is `stop`.
        """
        if self.action == "stop":
            what = f"train {self.job}: {self.check.replace('_', ' ')}, after {self.at:,} tokens"
            raise TrainingStopped(
                what, found=self.found, do=f"{self.do}; or go on with doctor={{{self.check!r}: 'warn'}}"
            )
        warnings.warn(str(self), TrainingWarning, stacklevel=2)


@contextmanager
def heard_by(say: Callable[[str], None]) -> Iterator[None]:
    """Inside, what the doctor warns of is said that way, and not as warnings of Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", TrainingWarning)
        before = warnings.showwarning

        def shown(message: Warning | str, category: type[Warning], *rest: Any) -> None:
            say(str(message)) if issubclass(category, TrainingWarning) else before(message, category, *rest)

        warnings.showwarning = shown
        yield


class Doctor:
    """Looks at a run. Each illness of a job is reported once; one that was repaired is looked for again later.

    Args:
        actions: what is done, by the name of the check; what is not named is as the check says.

    Raises:
        UnknownName: no check has that name.
        WrongUse: the action is unknown, or nothing can repair that illness.
    """

    def __init__(self, actions: Mapping[str, str]):
        for name, action in actions.items():
            found = CHECKS.get(name)
            if action not in ACTIONS or (action == "repair" and not issubclass(found, Curable)):
                curable = ", ".join(entry.name for entry in CHECKS if issubclass(entry.value, Curable))
                raise WrongUse(
                    "let the doctor watch a run", found=f"{name} = {action!r}",
                    do=f"choose 'stop', 'warn' or 'off'; 'repair' is known of {curable}",
                )  # fmt: skip
        self._checks = [
            (entry.value(), actions.get(entry.name, entry.value.action))
            for entry in CHECKS
            if actions.get(entry.name) != "off"
        ]
        self._quiet: dict[str, int] = {}

    def look(self, when: str, patient: Patient) -> Iterator[Report]:
        """What is ill; what the settings want repaired is repaired already."""
        for check, action in self._checks:
            key = f"{patient.job.name}|{check.name}"
            if check.when != when or patient.at < self._quiet.get(key, 0):
                continue
            if (symptom := check.look(patient)) is not None:
                done = self._treated(check, action, patient)
                if action != "stop":
                    rest = patient.schedule.dead_after if done else patient.schedule.tokens
                    self._quiet[key] = patient.at + max(rest, 1)
                yield Report(patient.job.name, check.name, patient.at, action, symptom.found, symptom.do, done)

    def state(self) -> dict[str, Any]:
        """Until when it is quiet about what."""
        return dict(self._quiet)

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from there."""
        self._quiet = dict(state)

    def _treated(self, check: Check, action: str, patient: Patient) -> str:
        return check.cure(patient) if action == "repair" and isinstance(check, Curable) else ""
