"""What work costs, said before it is done."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cost:
    """What a piece of work takes, part by part, each named in words.

    Attributes:
        memory: bytes of the fullest process at the fullest moment; the parts are there together.
        disk: bytes.
        flops: multiplications and additions, of all processes.
        wire: bytes that each process sends.
        seconds: of wall time, one part after another.
    """

    memory: dict[str, float]
    disk: dict[str, float]
    flops: dict[str, float]
    wire: dict[str, float]
    seconds: dict[str, float]

    def total(self, kind: str) -> float:
        """The sum of the parts of `memory`, `disk`, `flops`, `wire` or `seconds`."""
        return sum(self.to_dict()[kind].values())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {name: dict(parts) for name, parts in vars(self).items()}
