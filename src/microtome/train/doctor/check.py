"""What a check of the doctor is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from microtome.core.registry import Registry
from microtome.train.doctor.patient import Patient

Action = Literal["stop", "repair", "warn", "off"]


@dataclass(frozen=True)
class Symptom:
    """What was found, with its numbers and why it matters; and what the user may do."""

    found: str
    do: str


class Check(ABC):
    """Looks for one illness, at the start of a run (`start`) or at every reading of its figures (`reading`).

    Attributes:
        name: by which settings call it.
        when: at which of the two.
        action: what is done unless settings say otherwise.
    """

    name: ClassVar[str]
    when: ClassVar[Literal["start", "reading"]] = "reading"
    action: ClassVar[Action] = "warn"

    @abstractmethod
    def look(self, patient: Patient) -> Symptom | None:
        """The illness, or None."""


class Curable(Check):
    """An illness that can be repaired while training goes on."""

    @abstractmethod
    def cure(self, patient: Patient) -> str:
        """Repairs it; says what was done."""


CHECKS: Registry[type[Check]] = Registry("check", folder="microtome.train.doctor.checks")
