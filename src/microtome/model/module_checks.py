"""Checks of a network that no family describes: what can be held to account where only modules have names."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from microtome.core.sites import MODULE
from microtome.model.certificate import Check, judged, unjudged, verdict
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
from microtome.model.run import Run

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

    @cache
    def passed() -> Passed:
        return _passed(model, long)

    rows: dict[str, Callable[[], Check]] = {
        "watched pass": lambda: _watched(model, long, passed()),
        "module sites": lambda: _module_sites(model, long, passed()),
    }
    if model.network.site_kinds:
        rows["sdpa"] = lambda: against_sdpa(model, long, untouched_logits(model, long))
    rows |= _of_rows(model, long, short, lambda: _end(model, passed(), len(long)))
    name = type(model.module).__name__
    kind = model.network.kind
    attention = f"{name} keeps its own ({model.network.attention}): nothing inside it can be watched or edited"
    return [
        *(verdict(row, check) for row, check in rows.items()),
        unjudged("attention", attention),
        unjudged("family", f"no family describes {kind!r}: it {MISSING}"),
    ]


def _end(model: Model, passed: Passed, length: int) -> str:
    """The site at the end of the network whose rows are compared: its logits, or the last module of its kind."""
    if model.network.site_kinds:
        return model.network.site_kinds[0]
    return f"{MODULE}{_placed(passed, length)[-1]}"


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


def _watched(model: Model, ids: Ids, passed: Passed) -> Check:
    """One pass with every module captured, against the module without any hook."""
    if not model.network.site_kinds:
        return unjudged("watched pass", "no logits to compare: each module's output was, in the row below")
    off = float((_captured(model, ids, passed)["logits"] - untouched_logits(model, ids)).abs().max())
    says = "largest |Δlogit| between a pass with every module captured and the untouched module"
    return judged("watched pass", off, 0.0, says)


def _module_sites(model: Model, ids: Ids, passed: Passed) -> Check:
    """The same against plain hooks."""
    run = _captured(model, ids, passed)
    other = [
        path for path, one in passed.first.items() if not torch.equal(run[f"{MODULE}{path}"].flatten(), one.flatten())
    ]
    counts = (
        f"of {len(model.network.modules)}, {len(passed.first)} ran and gave a tensor; rows and positions first: "
        f"{len(_placed(passed, len(ids)))}; run several times: {len(passed.again)}"
    )
    return judged("module sites", float(len(other)), 0.0, f"modules captured otherwise than they gave; {counts}")


def _captured(model: Model, ids: Ids, passed: Passed) -> Run:
    return model.run([ids], capture=[*(f"{MODULE}{path}" for path in passed.first), *model.network.site_kinds])


def _of_rows(model: Model, long: Ids, short: Ids, end: Callable[[], str]) -> dict[str, Callable[[], Check]]:
    network = model.network
    rows: dict[str, Callable[[], Check]] = {}
    if network.takes("attention_mask"):
        rows["batched rows"] = lambda: batched(model, long, short, end())
        rows["padding side"] = lambda: sides(model, long, short, end())
    else:
        rows["batched rows"] = lambda: unjudged("batched rows", "takes no attention_mask: rows of one length only")
    if network.generates:
        rows["cached steps"] = lambda: cached(model, long, untouched_logits(model, long))
    else:
        rows["cached steps"] = lambda: unjudged("cached steps", "does not generate")
    rows["earlier positions"] = lambda: _causal(model, long, end())
    return rows


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
