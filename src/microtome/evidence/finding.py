"""A finding: a claim in words, with the measurements that support it and what they amount to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from microtome.core.errors import WrongUse
from microtome.evidence.measurement import Measurement
from microtome.evidence.record import parts, plain, reading, text


@dataclass(frozen=True)
class Finding:
    """A claim and its support.

    Attributes:
        claim: what is claimed, as a sentence.
        supports: the measurements it rests on, at least one; also those that speak against it.
        verdict: what they amount to, in words, also where the claim fails.
    """

    claim: str
    supports: tuple[Measurement, ...]
    verdict: str

    def __post_init__(self) -> None:
        if not self.supports:
            raise WrongUse(
                f"find that {self.claim!r}",
                found="a claim without a measurement",
                do="give the measurements that the claim rests on",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for strict JSON."""
        return plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Finding":
        """Reads back what `to_dict` wrote.

        Raises:
            FormatError: fields are missing, unknown or of another kind.
        """
        with reading(cls, values):
            return cls(
                claim=text(values["claim"]),
                supports=tuple(Measurement.from_dict(one) for one in parts(values["supports"])),
                verdict=text(values["verdict"]),
            )

    def __str__(self) -> str:
        return "\n".join([f"{self.claim}: {self.verdict}", *(f"  {one}" for one in self.supports)])
