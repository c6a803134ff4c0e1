"""All panels of a page, in order, with their data; and the files that draw them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microtome.core.errors import WrongUse
from microtome.view.fields import Fields
from microtome.view.panel import PANELS, Data

ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True)
class Drawn:
    """One panel with what it shows."""

    name: str
    title: str
    data: Data
    script: Path

    def to_dict(self) -> dict[str, Any]:
        """What the page's JavaScript needs."""
        return {"name": self.name, "title": self.title, "data": self.data}


def page(*results: Data) -> list[Drawn]:
    """The panels that these results fill.

    Args:
        results: what `to_dict()` of each gives; one a kind (`graph`, `proof`, …), which its run card names.

    Raises:
        FormatError: a result holds what no panel can show: an edge to a node that is not there, a number
            that is not finite, lists that do not match.
        WrongUse: two of one kind, or one of a kind that no panel shows.
    """
    by_kind = _by_kind(results)
    drawn = []
    for entry in sorted(PANELS, key=lambda entry: (entry.value.order, entry.name)):
        panel = entry.value
        if not panel.takes:
            drawn.append(Drawn(entry.name, panel.title, panel.build(by_kind), panel.script))
        elif panel.takes[0] in by_kind:
            data = panel.build(*(by_kind.get(kind) for kind in panel.takes))
            drawn.append(Drawn(entry.name, panel.title, data, panel.script))
    return drawn


def _by_kind(results: tuple[Data, ...]) -> dict[str, Data]:
    shown = sorted({kind for entry in PANELS for kind in entry.value.takes})
    found: dict[str, Data] = {}
    for result in results:
        kind = kind_of(result)
        if kind in found or kind not in shown:
            raise WrongUse(
                "write a report",
                found=f"two results of the kind {kind!r}" if kind in found else f"a result of the kind {kind!r}",
                do=f"give one of each kind that a panel shows: {', '.join(shown)}",
            )
        found[kind] = result
    return found


def kind_of(result: Data) -> str:
    """What a result is, by its run card.

    Raises:
        FormatError: it carries none.
    """
    return Fields(result, "result").part("card").text("kind")


def shared_scripts() -> list[Path]:
    """JavaScript that panels share, in name order; it stands before theirs on a page."""
    return sorted(ASSETS.glob("*.js"))


def stylesheet() -> Path:
    """The style of all panels."""
    return ASSETS / "panels.css"
