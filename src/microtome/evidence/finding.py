"""A finding: a claim in words, with the measurements that support it and what they amount to."""

from dataclasses import dataclass
from typing import ClassVar

from microtome.core.errors import WrongUse
from microtome.evidence.measurement import Measurement
from microtome.evidence.record import Record, each, text


@dataclass(frozen=True)
class Finding(Record):
    """A claim and its support.

    Attributes:
        claim: what is claimed, as a sentence.
        supports: the measurements it rests on, at least one; also those that speak against it.
        verdict: what they amount to, in words, also where the claim fails.
    """

    claim: str
    supports: tuple[Measurement, ...]
    verdict: str

    READS: ClassVar = {
        "claim": text,
        "supports": each(Measurement.from_dict),
        "verdict": text,
    }

    def __post_init__(self) -> None:
        if not self.supports:
            raise WrongUse(
                f"find that {self.claim!r}",
                found="a claim without a measurement",
                do="give the measurements that the claim rests on",
            )

    def __str__(self) -> str:
        return "\n".join([f"{self.claim}: {self.verdict}", *(f"  {one}" for one in self.supports)])
