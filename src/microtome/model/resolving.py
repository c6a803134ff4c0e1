"""Edits with the values that they have at each of their sites, which is what a pass takes."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from microtome.core.errors import SiteNotFound, WrongUse
from microtome.core.sites import Site
from microtome.model.edit_values import values
from microtome.model.edits import Edits, those
from microtome.model.forward import forward
from microtome.model.network import Network
from microtome.model.neutral import NEUTRAL
from microtome.model.run import Run
from microtome.model.session import Resolved
from microtome.model.unit_edits import by_units

if TYPE_CHECKING:
    from microtome.model.model import Model


def resolved(model: "Model", edits: Edits) -> tuple[Resolved, ...]:
    """Finds the sites of edits, and takes their values from the model without any edit where they say so.

    Args:
        model: whose sites they name.
        edits: one or several; see `edits.those`.

    Raises:
        SiteNotFound: a site does not exist.
        WrongUse: something that is no edit, or a value that cannot be taken.
    """
    ask = partial(unedited, model)
    return tuple(
        (edit, values(edit, model.network.select(edit.site), ask))
        if isinstance(edit.site, str)
        else (edit, by_units(edit, edit.site, partial(one_site, model.network), ask))
        for edit in those(edits)
    )


def unedited(model: "Model", inputs: Any, capture: Sequence[str]) -> Run:
    """Runs inputs, or the shipped neutral prompts (None), without any of the edits in force.

    Raises:
        WrongUse: there is no tokenizer for the neutral prompts.
    """
    if inputs is None and model.tokenizer is None:
        raise WrongUse(
            "take means over the neutral prompts, the baseline where there is no counterfactual",
            found="texts, for a model without a tokenizer",
            do="give a counterfactual (of an edit: its source) as token ids, or open the model with its tokenizer",
        )
    batch = model.batch(NEUTRAL if inputs is None else inputs)
    return forward(model.network, batch, capture, ())


def one_site(network: Network, name: str) -> Site:
    """The one site that a name means.

    Raises:
        SiteNotFound: it does not exist, or the pattern names several.
    """
    found = network.select(name)
    if len(found) != 1:
        raise SiteNotFound(
            f"find the site {name!r}",
            found=f"a pattern for {len(found)} sites",
            do=f"name one, such as {found[0]}",
        )
    return found[0]
