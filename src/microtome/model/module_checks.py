"""Checks of a network that no family describes: what can be held to account where only modules have names."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from microtome.core.sites import MODULE
from microtome.model.certificate import Check, judged, unjudged
from microtome.model.live_checks import (
    SAME_FUNCTION,
    Ids,
    against_sdpa,
    batched,
    cached,
    relative,
    sides,
    untouched_logits,
)
from microtome.model.model import Model
from microtome.model.network import carried

MISSING = (
    "has no sites by name (resid, attn, mlp), no frozen pass, no logit lens, no trace and no proof; "
    "it can be run, captured and edited by module path; docs/how-to/add-a-family.md says how to add a family"
)


@dataclass
class Passed:
    """What the modules gave in one plain pass, kept by hooks that know nothing of sessions.

    Attributes:
        first: each path's tensor, at its first call, in the order in which modules finished.
        again: paths that ran more than once.
    """

    first: dict[str, Tensor] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)

    def keep(self, path: str, module: nn.Module, inputs: Any, output: Any) -> None:
        """A forward hook, once its path is bound."""
        if path in self.first:
            self.again.add(path)
        elif (tensor := carried(output)) is not None:
            self.first[path] = tensor.clone()  # some networks write over it later in the pass


def module_checks(model: Model, long: Ids, short: Ids) -> list[Check]:
    """All of them, on two prompts of different length."""
    passed = _passed(model, long)
    ends = [*model.network.site_kinds, *(f"{MODULE}{path}" for path in reversed(_placed(passed, len(long))))][:1]
    rows = [*_watched(model, long, passed)]
    for end in ends:
        rows += _of_rows(model, long, short, end)
        rows.append(_causal(model, long, end))
    name = type(model.module).__name__
    kind = model.network.kind
    attention = f"{name} keeps its own ({model.network.attention}): nothing inside it can be watched or edited"
    return [*rows, unjudged("attention", attention), unjudged("family", f"no family describes {kind!r}: it {MISSING}")]


def _passed(model: Model, ids: Ids) -> Passed:
    passed = Passed()
    with torch.no_grad(), ExitStack() as stack:
        for path, module in model.network.modules.items():
            stack.callback(module.register_forward_hook(partial(passed.keep, path)).remove)
        model.network.call(model.batch([ids]))
    return passed


def _placed(passed: Passed, length: int) -> list[str]:
    """Paths that give `[b, p, …]`."""
    return [path for path in passed.first if passed.first[path].shape[:2] == (1, length)]


def _watched(model: Model, ids: Ids, passed: Passed) -> list[Check]:
    """One pass with every module captured, against plain hooks, and against the module without any hook."""
    paths = list(passed.first)
    run = model.run([ids], capture=[*(f"{MODULE}{path}" for path in paths), *model.network.site_kinds])
    other = [path for path in paths if not torch.equal(run[f"{MODULE}{path}"].flatten(), passed.first[path].flatten())]
    counts = (
        f"of {len(model.network.modules)}, {len(passed.first)} ran and gave a tensor; rows and positions first: "
        f"{len(_placed(passed, len(ids)))}; run several times: {len(passed.again)}"
    )
    rows = [judged("module sites", float(len(other)), 0.0, f"modules captured otherwise than they gave; {counts}")]
    if not model.network.site_kinds:
        return [*rows, unjudged("watched pass", "no logits to compare: each module's output was, in the row above")]
    untouched = untouched_logits(model, ids)
    off = float((run["logits"] - untouched).abs().max())
    says = "largest |Δlogit| between a pass with every module captured and the untouched module"
    return [judged("watched pass", off, 0.0, says), *rows, against_sdpa(model, ids, untouched)]


def _of_rows(model: Model, long: Ids, short: Ids, end: str) -> list[Check]:
    network = model.network
    rows = [unjudged("batched rows", "takes no attention_mask: rows of one length only")]
    if network.takes("attention_mask"):
        rows = [batched(model, long, short, end), sides(model, long, short, end)]
    if network.generates and network.cache is not None:
        return [*rows, cached(model, long, untouched_logits(model, long))]
    return [*rows, unjudged("cached steps", "does not generate with a key/value cache of transformers")]


def _causal(model: Model, ids: Ids, end: str) -> Check:
    """Whether positions see only what is before them, which is what a next-token model promises."""
    name = "earlier positions"
    other = [*ids[:-1], next(one for one in ids if one != ids[-1])]
    before, after = (model.run([one], capture=[end])[end][:, :-1] for one in (ids, other))
    off = relative(after, before)
    says = f"{end} before a last token that was changed"
    if model.network.generates:
        return judged(name, off, SAME_FUNCTION[model.dtype], says)
    return Check(name, off, None, None, f"{says}: above 0, positions see later ones")
