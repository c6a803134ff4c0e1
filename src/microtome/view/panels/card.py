"""The run cards: how what is on the page was made, so that it can be made again."""

from pathlib import Path

from microtome.view.fields import Fields
from microtome.view.panel import PANELS, Data, Panel
from microtome.view.rows import rows_of


def card_panel(graph: Data | None, proof: Data | None = None) -> Data:
    """The run card of each result as rows of a name and a text."""
    results = {"graph": graph, "proof": proof}
    cards = [
        {"of": name, "rows": rows_of(Fields(result, name).part("card"))}
        for name, result in results.items()
        if result is not None
    ]
    return {"cards": cards}


PANELS.add(
    "card",
    Panel("How this was made", 90, ("graph", "proof"), card_panel, Path(__file__).with_suffix(".js")),
    summary="the run cards of graph and proof",
    home=__name__,
)
