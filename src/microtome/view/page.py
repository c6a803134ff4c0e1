"""All panels of a page, in order, with their data; and the files that draw them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def page(graph: Data, proof: Data | None = None) -> list[Drawn]:
    """The panels that these results fill.

    Args:
        graph: what `Graph.to_dict()` gives.
        proof: what `Proof.to_dict()` gives, or None where nothing was proved.

    Raises:
        FormatError: a result holds what no panel can show: an edge to a node that is not there, a number
            that is not finite, lists that do not match.
    """
    results = {"graph": graph, "proof": proof}
    drawn = []
    for entry in sorted(PANELS, key=lambda entry: (entry.value.order, entry.name)):
        taken = [results.get(name) for name in entry.value.takes]
        if any(result is not None for result in taken):
            data = entry.value.build(*taken)
            drawn.append(Drawn(entry.name, entry.value.title, data, entry.value.script))
    return drawn


def shared_scripts() -> list[Path]:
    """JavaScript that panels share, in name order; it stands before theirs on a page."""
    return sorted(ASSETS.glob("*.js"))


def stylesheet() -> Path:
    """The style of all panels."""
    return ASSETS / "panels.css"
