"""The proof: what a circuit keeps and what its absence removes, beside sets that should do neither."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from microtome.core.artefact import read_artefact, write_json
from microtome.core.counting import counted
from microtome.core.errors import FormatError
from microtome.core.showing import html_of
from microtome.evidence import Finding, Measurement, Quantity

FORMAT = 1


@dataclass(frozen=True)
class Verdict:
    """Whether the claim holds.

    Attributes:
        holds: the circuit is enough: alone it keeps more than its nulls, and all else that is required was met.
        words: both sides in sentences: whether it is enough, and whether it is needed.
        level: `prompt` (holds on this prompt) or `task` (proven on the task).
        size: at which the sets were compared.
        needed: without the circuit less is left than without its nulls.
    """

    holds: bool
    words: str
    level: str
    size: int
    needed: bool = False


@dataclass(frozen=True, repr=False)
class Proof:
    """What `microtome.prove` gives.

    Attributes:
        sizes: numbers of units, among those that differ between the prompts.
        faithfulness: at each size, the share of the target's change that the circuit alone keeps.
        completeness: at each size, the share left when the circuit is removed (low is good).
        area: under the faithfulness curve over log size, beside those of the nulls; None where one size was asked.
        n: prompts counted; `dropped`: prompts left out, by reason.
        differing_share: of all units, those that differ between the prompts.
    """

    sizes: tuple[int, ...]
    faithfulness: tuple[Measurement, ...]
    completeness: tuple[Measurement, ...]
    area: Measurement | None
    verdict: Verdict
    n: int
    n_differing: int
    differing_share: float
    dropped: dict[str, int]
    card: dict[str, Any]

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """All that is offered as evidence."""
        return (*self.faithfulness, *self.completeness, *([] if self.area is None else [self.area]))

    @property
    def finding(self) -> Finding:
        """The claim with the measurements that support it."""
        return Finding(
            f"the units ranked first produce the answer: {self.card['data']['claim']}",
            self.measurements,
            self.verdict.words,
        )

    @property
    def areas(self) -> dict[str, float]:
        """Areas under the faithfulness curves over log size, of the circuit and of its nulls."""
        if self.area is None:
            return {}
        return {"circuit": self.area.value, **{null.name: null.mean for null in self.area.nulls}}

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Numbers beside the evidence."""
        return (Quantity("differing share", self.differing_share, "share of units"),)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "sizes": list(self.sizes),
            "faithfulness": [one.to_dict() for one in self.faithfulness],
            "completeness": [one.to_dict() for one in self.completeness],
            "nulls": [null.name for null in self.faithfulness[0].nulls],
            "areas": self.areas,
            "area": None if self.area is None else self.area.to_dict(),
            "verdict": asdict(self.verdict),
            "n": self.n,
            "n_differing": self.n_differing,
            "differing_share": self.differing_share,
            "dropped": self.dropped,
            "card": self.card,
        }

    def __repr__(self) -> str:
        return f"<Proof: {self.verdict.words}>"

    def _repr_html_(self) -> str:
        return html_of("proof", self.to_dict())

    def save(self, path: str | Path) -> Path:
        """Writes the proof as JSON, whole or not at all."""
        return write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> "Proof":
        """Reads what `save` wrote.

        Raises:
            FormatError: it is no proof, or of a newer format.
        """
        found = read_artefact(
            path, kind="proof", format=FORMAT, keys=("sizes", "faithfulness", "completeness", "verdict")
        )
        try:
            return cls(
                sizes=tuple(found["sizes"]),
                faithfulness=tuple(map(Measurement.from_dict, found["faithfulness"])),
                completeness=tuple(map(Measurement.from_dict, found["completeness"])),
                area=None if found["area"] is None else Measurement.from_dict(found["area"]),
                verdict=Verdict(**found["verdict"]),
                **{name: found[name] for name in ("n", "n_differing", "differing_share", "dropped", "card")},
            )
        except (TypeError, KeyError) as error:
            raise FormatError(f"read the proof {path}", found=f"no whole proof ({error})", do="prove again") from error

    def summary(self) -> str:
        """A short text for people: the verdict first, then the curves."""
        lines = [self.verdict.words, f"  {'units':>8} {'kept':>7} {'random':>8} {'change':>8} {'left without':>13}"]
        for size, kept, left in zip(self.sizes, self.faithfulness, self.completeness, strict=True):
            nulls = {null.name: null.mean for null in kept.nulls}
            figures = f"{kept.value:7.2f} {nulls['matched random']:8.2f} {nulls['change']:8.2f} {left.value:13.2f}"
            lines.append(f"  {size:8,} {figures}")
        lines.append(f"  over {counted(self.n, 'prompt')}; {self.differing_share:.0%} of the units differ")
        if self.n == 1:
            draws = len(self.faithfulness[0].nulls[0].draws)
            lines.append(f"  {counted(draws, 'random set')} a size: no p-value can lie below {1 / (1 + draws):.3f}")
        if self.dropped:
            lines.append("  left out: " + ", ".join(f"{count} {why}" for why, count in self.dropped.items()))
        return "\n".join(lines)
