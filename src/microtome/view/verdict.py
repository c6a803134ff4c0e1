"""What a proof showed, in sentences: each null is named, and whether the circuit beat it."""

from dataclasses import dataclass

from microtome.evidence import Measurement, Null
from microtome.view.fields import Fields
from microtome.view.tokens import plain

_RELATIONS = {
    (True, True): "beats",
    (True, False): "does not beat",
    (False, True): "lies above",
    (False, False): "does not lie above",
}


@dataclass(frozen=True)
class Comparison:
    """A circuit's faithfulness beside one null, at one size."""

    null: str
    beaten: bool
    words: str

    def to_dict(self) -> dict[str, str | bool]:
        """Plain values."""
        return {"null": self.null, "beaten": self.beaten, "words": self.words}


def compare(measurement: Fields, size: int) -> list[Comparison]:
    """One comparison for each null of a faithfulness measured at `size` units."""
    measured = Measurement.from_dict(measurement.row)
    return [_against(null, measured, size) for null in measured.nulls]


def _against(null: Null, measured: Measurement, size: int) -> Comparison:
    draws, beaten, name = len(null.draws), measured.beats(null), plain(null.name)
    if null.advantage_interval is not None:
        low, high = null.advantage_interval
        test = f"advantage {null.advantage:+.2f}, interval {low:+.2f} to {high:+.2f}"
    elif draws > 1:
        test = f"p = {null.p_value:.3g} over {draws} draws"
    else:
        test = "1 draw: a comparison, not a test"
    relation = _RELATIONS[null.advantage_interval is not None or draws > 1, beaten]
    figures = f"{measured.value:.2f} against {null.mean:.2f} ({test})"
    return Comparison(name, beaten, f"At {size:,} units it {relation} the {name} null: {figures}.")


def stated_size(proof: Fields) -> int:
    """The position of the size that the verdict speaks of: the one it states, or else the largest."""
    sizes = proof.items("sizes")
    stated = proof.part("verdict").maybe(Fields.whole, "size")
    if stated is None:
        return len(sizes) - 1
    if stated not in sizes:
        proof.part("verdict").refuse("size", f"{stated}, which is none of the sizes {sizes}")
    return sizes.index(stated)
