"""Places: where units read and write, and the stops of a vector that is carried along the stream past all of them."""

from collections.abc import Iterable
from dataclasses import dataclass

from microtome.core.errors import NotSupported

# In the order in which the stream of one layer meets them.
STOPS = ("resid", "attn.heads", "attn.out", "resid_mid", "mlp.out")
READ_PAST_A_NORM = {"attn.in": "resid", "mlp.in": "resid_mid"}
"""Sites that a norm parts from the stream: what is read there is pulled through the norm, onto the stream."""
WRITTEN = frozenset({"resid", "resid_mid", "attn.out", "mlp.out"})
KINDS = (*STOPS, *READ_PAST_A_NORM)


@dataclass(frozen=True, order=True)
class Place:
    """A site kind at a layer, where units read or write. The stream after the last layer is `resid` of the next.

    Attributes:
        layer: counted from 0.
        kind: one of `KINDS`.
    """

    layer: int
    kind: str

    def __str__(self) -> str:
        return f"{self.kind}.{self.layer}"

    @property
    def on_stream(self) -> bool:
        """Whether the stream itself stands here, and no branch."""
        return self.kind in ("resid", "resid_mid")


def place_of(site: str, n_layers: int) -> Place:
    """The place of a site by its name.

    Raises:
        NotSupported: units at this site have no place in a graph.
    """
    if site in ("embed", "resid.final"):
        return Place(0 if site == "embed" else n_layers, "resid")
    kind, _, layer = site.rpartition(".")
    if kind not in KINDS or not layer.isdigit():
        *others, last = (f"{one}.L" for one in KINDS)
        raise NotSupported(
            f"place units at {site}",
            found="a site that a graph does not pass",
            do=f"give units that read and write {', '.join(others)} or {last}",
        )
    return Place(int(layer), kind)


def site_of(place: Place, n_layers: int) -> str:
    """What the site of a place is called."""
    return "resid.final" if place.layer == n_layers else str(place)


def arriving(place: Place) -> int:
    """The stop at which units of a place read: what comes from below, before the place is cut."""
    return 2 * (place.layer * len(STOPS) + STOPS.index(place.kind))


def leaving(place: Place) -> int:
    """The stop at which units of a place write: what goes on from there."""
    return arriving(place) + 1


def reading(place: Place, *, parallel: bool) -> int:
    """The stop at which a place is read, past its norm where it has one."""
    if place.kind not in READ_PAST_A_NORM:
        return arriving(place)
    below = "resid" if parallel else READ_PAST_A_NORM[place.kind]
    return leaving(Place(place.layer, below))


def layer_of(stop: int) -> int:
    """The layer in which a stop lies."""
    return stop // (2 * len(STOPS))


def listed(places: Iterable[Place], most: int = 3) -> str:
    """A few of them in words."""
    return ", ".join(str(one) for one in list(places)[:most])
