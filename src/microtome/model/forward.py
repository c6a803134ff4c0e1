"""One forward pass, from what is asked of it to what it gives: the only way in which a network is run."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.core.sites import Site, site
from microtome.model.inputs import Batch
from microtome.model.network import Network
from microtome.model.run import Run, aligned
from microtome.model.session import Resolved, Session, run_once

Metric = Callable[[Float[Tensor, "b p v"]], Float[Tensor, ""]]
LOGITS = site("logits")


def forward(
    network: Network,
    batch: Batch,
    capture: Sequence[str],
    edits: tuple[Resolved, ...],
    *,
    backward: Metric | None = None,
    last_logits_only: bool = False,
) -> Run:
    """Arguments and errors as for `Model.run`; edits with their values."""
    if last_logits_only and batch.padded and batch.side == "right":
        raise WrongUse(
            "run with last_logits_only",
            found="rows of different lengths, padded on the right",
            do='pass padding="left", so that every row ends at the last position',
        )
    table = network.table
    wanted = network.select(capture)
    ends = [] if backward is None else [*(kind for kind in ("embed",) if kind in table.kinds), "logits"]
    watched = tuple(dict.fromkeys((*wanted, *network.select(ends))))
    session = Session(network, batch, watched, edits, gradients=backward is not None, stop=True)
    run_once(session, last_logits_only=last_logits_only)
    session.check()

    def shown(one: Site, tensor: Tensor) -> Tensor:
        if last_logits_only and one == LOGITS:
            return tensor[:, -1:]  # not every network can leave the others out
        return aligned(one, tensor, batch)

    grads: dict[Site, Tensor] = {}
    metric = None
    if backward is not None:
        score = backward(shown(LOGITS, session.captured[LOGITS]))
        metric, grads = _gradients(score, wanted, session)

    def packed(found: dict[Site, Tensor]) -> dict[str, Tensor]:
        return {str(one): shown(one, found[one].detach()) for one in wanted if one in found}

    return Run(packed(session.captured), packed(grads), metric, batch, table)


def _gradients(score: Any, wanted: tuple[Site, ...], session: Session) -> tuple[float, dict[Site, Tensor]]:
    """A metric's value and its gradients at sites; zeros where it does not depend on one."""
    if not isinstance(score, Tensor) or score.ndim or not score.requires_grad:
        shape = f"shape {list(score.shape)}" if isinstance(score, Tensor) and score.ndim else "no gradient"
        raise WrongUse(
            "run backward from a metric",
            found=f"a metric of type {type(score).__name__} and {shape}",
            do="return one number computed from the logits by torch, such as logits[0, -1, 5]",
        )
    tensors = [session.captured[one] for one in wanted]
    grads = torch.autograd.grad(score, tensors, allow_unused=True, materialize_grads=True) if tensors else ()
    return float(score.detach()), dict(zip(wanted, grads, strict=True))
