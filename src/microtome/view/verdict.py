"""What a proof showed, in sentences: each null is named, and whether the circuit beat it."""

from dataclasses import dataclass

from microtome.view.fields import Fields

LEVEL = 0.05
FEWEST_DRAWS = 19  # with fewer, even the best possible rank has p above 0.05


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
    value = measurement.number("value")
    return [_against(null, value, size) for null in measurement.parts("nulls")]


def _against(null: Fields, value: float, size: int) -> Comparison:
    name, effect, p_value = null.text("name"), null.number("effect"), null.number("p_value")
    draws = len(null.items("draws"))
    advantage = null.maybe(Fields.interval, "advantage_interval")
    tested = advantage is not None or draws >= FEWEST_DRAWS
    if advantage is not None:
        beaten = advantage[0] > 0
        test = f"advantage {effect:+.2f}, interval {advantage[0]:+.2f} to {advantage[1]:+.2f}"
    elif tested:
        beaten = p_value <= LEVEL and effect > 0
        test = f"p = {p_value:.3g} over {draws} draws"
    else:
        beaten = effect > 0
        test = f"{draws} draw{'' if draws == 1 else 's'}: a comparison, not a test"
    relation = _RELATIONS[tested, beaten]
    figures = f"{value:.2f} against {value - effect:.2f} ({test})"
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
