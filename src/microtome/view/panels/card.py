"""The run cards: how what is on the page was made, so that it can be made again."""

from pathlib import Path

from microtome.view.fields import Fields
from microtome.view.panel import PANELS, Data, Panel
from microtome.view.rows import rows_of


def card_panel(results: dict[str, Data]) -> Data:
    """The run card of each result, by its kind, as rows of a name and a text."""
    cards = [{"of": kind, "rows": rows_of(Fields(result, kind).part("card"))} for kind, result in results.items()]
    return {"cards": cards}


PANELS.add(
    "card",
    Panel("How this was made", 90, (), card_panel, Path(__file__).with_suffix(".js")),
    summary="the run card of every result on the page",
    home=__name__,
)
