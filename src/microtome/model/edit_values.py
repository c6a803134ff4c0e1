"""What an edit puts at each of its sites: as given, or taken from another run without edits."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.core.sites import Site
from microtome.model.edit_positions import SiteValue
from microtome.model.edits import Edit, Elsewhere, Pooled, Taken
from microtome.model.run import Run

Ask = Callable[[Any, list[str]], Run]
"""Runs some inputs (None: the neutral prompts) without edits and captures some sites."""


def values(edit: Edit, sites: Sequence[Site], ask: Ask) -> dict[Site, SiteValue]:
    """The value of an edit at each site.

    Raises:
        WrongUse: a site is given no value, or one that cannot be taken from elsewhere.
    """
    given = edit.value
    if isinstance(given, Elsewhere) and given.how == "mean":
        pooled = means(sites, given.inputs, ask)
        return {one: Pooled(pooled[str(one)]) for one in sites}
    if isinstance(given, Elsewhere):
        return _counterfactual(edit, given.inputs, sites, ask)
    if not isinstance(given, Mapping):
        return dict.fromkeys(sites, given)
    lacking = [str(one) for one in sites if str(one) not in given]
    if lacking:
        raise WrongUse(f"edit: {edit}", found=f"no value for {', '.join(lacking[:4])}", do="give one for each site")
    return {one: given[str(one)] for one in sites}


def _counterfactual(edit: Edit, inputs: Any, sites: Sequence[Site], ask: Ask) -> dict[Site, SiteValue]:
    """Position by position; negative positions count from each prompt's own end."""
    if edit.positions == "new":
        raise WrongUse(
            f"edit: {edit}",
            found="a counterfactual for tokens yet to be generated, which it does not have",
            do="ablate to zero or mean, or name positions of the prompt",
        )
    there = ask(inputs, [str(one) for one in sites])
    found: dict[Site, SiteValue] = {}
    for one in sites:
        tensor = there[str(one)]
        if not isinstance(edit.positions, tuple):
            found[one] = Taken(tensor, there.batch.lengths)
            continue
        rows = torch.arange(len(there.batch.lengths), device=tensor.device)[:, None]
        token = [
            [there.batch.token(row, position) for position in positions]
            for row, positions in enumerate(edit.positions_of(len(rows)))
        ]
        axis = one.kind.position_axis
        found[one] = tensor.movedim(axis, 1)[rows, torch.tensor(token, device=tensor.device)].movedim(1, axis)
    return found


def means(sites: Sequence[Site], texts: Any, ask: Ask) -> dict[str, Float[Tensor, "2 ..."]]:
    """See `Model.means`."""
    over_keys = [str(one) for one in sites if len(one.kind.position_axes) > 1]
    if over_keys:
        raise WrongUse(
            f"take the mean of {over_keys[0]}",
            found="an axis of keys, which is as long as each prompt",
            do="take the mean of sites without one, such as attn.heads",
        )
    run = ask(texts, [str(one) for one in sites])
    later = run.mask.clone()
    later[:, 0] = False
    if not bool(later.any()):
        raise WrongUse(
            "take the mean of sites over texts", found="one token in each text", do="give texts of several tokens"
        )
    found = {}
    for name in run:
        x = run[name]
        found[name] = torch.stack([x[:, 0].mean(0), x[later].mean(0)])
    return found
