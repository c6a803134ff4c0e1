"""Checks of the model as it runs: that watching changes nothing, and that every site is what it says."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from microtome.core.errors import EditTouchedNothing, SiteDidNotFire
from microtome.core.sites import Site
from microtome.model.certificate import Check, judged, unjudged, verdict
from microtome.model.edits import scale
from microtome.model.model import Model
from microtome.model.network import carried
from microtome.model.sources.quiet import quiet

SAME_FUNCTION = {torch.float64: 1e-5, torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.03}
"""Largest relative difference between two orders of the same arithmetic. In float64 it is transformers'
own rounding that counts: RMS norms compute in float32 whatever the dtype."""
OTHER_KERNEL = {torch.float64: 1e-5, torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.05}
SUMS = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.03}
CACHED_STEPS = 4

Ids = list[int]


def live_checks(model: Model, long: Ids, short: Ids) -> list[Check]:
    """All of them, on two prompts of different length."""

    @cache
    def untouched() -> Float[Tensor, "1 p v"]:
        return untouched_logits(model, long)

    @cache
    def seen() -> dict[str, Tensor]:
        run = model.run([long], capture=model.sites())
        return {name: run[name] for name in model.sites()}

    rows: dict[str, Callable[[], Check]] = {
        "watched pass": lambda: _watched(seen(), untouched()),
        "sdpa": lambda: against_sdpa(model, long, untouched()),
        "batched rows": lambda: batched(model, long, short, "logits"),
        "padding side": lambda: sides(model, long, short, "logits"),
        "cached steps": lambda: cached(model, long, untouched()),
        "site shapes": lambda: _shapes(model, seen(), len(long)),
        "live sites": lambda: _liveness(model, long, seen()),
        "stream sum": lambda: _stream(model, seen()),
    }
    return [verdict(name, check) for name, check in rows.items()]


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest expected value."""
    return float((found - expected).abs().max() / expected.abs().max())


def worst(errors: Sequence[float]) -> float:
    """The largest; not a number where any is not one, which `max` would lose."""
    return float(torch.tensor(errors, dtype=torch.float64).max())


def untouched_logits(model: Model, ids: Ids) -> Float[Tensor, "1 p v"]:
    """The module called as transformers documents it, with no hook in it."""
    with torch.no_grad():
        logits = carried(model.network.call(model.batch([ids])))
    assert logits is not None
    return logits


def against_sdpa(model: Model, ids: Ids, expected: Tensor) -> Check:
    """Another kernel for the same attention, where the module has it."""
    name = "sdpa"
    module = model.module
    if not isinstance(module, PreTrainedModel) or not module._supports_sdpa:
        return unjudged(name, f"{type(module).__name__} has no sdpa attention to compare with")
    before = str(module.config._attn_implementation)
    try:
        with quiet():
            module.set_attn_implementation("sdpa")
        if model.network.attention != "sdpa":
            return unjudged(name, f"{type(module).__name__} does not change its attention once it is loaded")
        found = untouched_logits(model, ids)
    finally:
        module.set_attn_implementation(before)
    off = relative(found, expected)
    return judged(name, off, OTHER_KERNEL[model.dtype], "logits against those of transformers' default kernel")


def batched(model: Model, long: Ids, short: Ids, end: str) -> Check:
    """Two rows together against each alone, at a site."""
    both = model.run([long, short], capture=[end])[end]
    alone = (model.run([ids], capture=[end])[end][0] for ids in (long, short))
    off = worst([relative(both[i, : len(one)], one) for i, one in enumerate(alone)])
    return judged("batched rows", off, SAME_FUNCTION[model.dtype], f"{end} of a batch against those of each row alone")


def sides(model: Model, long: Ids, short: Ids, end: str) -> Check:
    """Padding on the left against padding on the right, at a site."""
    left, right = (model.run([long, short], capture=[end], padding=side)[end] for side in ("left", "right"))
    says = f"{end} with padding on the left against the right"
    return judged("padding side", relative(left, right), SAME_FUNCTION[model.dtype], says)


def cached(model: Model, ids: Ids, expected: Tensor) -> Check:
    """The last tokens one by one on a cache, against the pass that computes all at once."""
    name = model.network.cache
    if name is None:
        return unjudged("cached steps", "takes no key/value cache of transformers")
    cut = len(ids) - CACHED_STEPS
    past: Any = None
    errors = []
    with torch.no_grad():
        for start, end in [(0, cut), *((i, i + 1) for i in range(cut, len(ids)))]:
            chunk = torch.tensor([ids[start:end]], device=model.device)
            out = model.module(chunk, use_cache=True, **{name: past})
            if name not in out:
                return unjudged("cached steps", "keeps its state to itself, so that no cache comes back to be given on")
            past = out[name]
            errors.append(relative(out.logits, expected[:, start:end]))
    says = "logits with a key/value cache against without"
    return judged("cached steps", worst(errors), SAME_FUNCTION[model.dtype], says)


def _shapes(model: Model, seen: dict[str, Tensor], length: int) -> Check:
    size = model.anatomy.sizes
    letters = {"b": 1, "p": length, "d": size.d, "h": size.h, "g": size.g, "c": size.c, "v": size.v}
    wrong = []
    for name, tensor in seen.items():
        one = model.site(name)
        units = {} if one.layer is None else {"u": model.anatomy.layers[one.layer].n_units}
        if list(tensor.shape) != [(letters | units)[letter] for letter in one.kind.shape.split()]:
            wrong.append(f"{name} {list(tensor.shape)}")
    says = f"sites of another shape than declared, of {len(seen)} that fired"
    return judged("site shapes", float(len(wrong)), 0.0, says + (f": {', '.join(wrong[:6])}" if wrong else ""))


def _liveness(model: Model, ids: Ids, seen: dict[str, Tensor]) -> Check:
    """Halves half of each kind of site (halving all of a stream would be undone by the next norm)."""
    probes = _one_a_kind(model)
    dead = [name for name in probes if not _changes(model, name, ids, seen)]
    says = f"kinds of site, of {len(probes)}, where an edit leaves the logits as they were"
    return judged("live sites", float(len(dead)), 0.0, says + (f": {', '.join(dead)}" if dead else ""))


def _one_a_kind(model: Model) -> list[str]:
    middle = model.n_layers // 2
    by_kind: dict[str, Site] = {}
    for name in model.sites():
        one = model.site(name)
        held = by_kind.get(one.kind.name)
        if held is None or abs((one.layer or 0) - middle) < abs((held.layer or 0) - middle):
            by_kind[one.kind.name] = one
    return [str(one) for one in by_kind.values()]


def _changes(model: Model, name: str, ids: Ids, seen: dict[str, Tensor]) -> bool:
    width = seen[name].movedim(model.site(name).kind.position_axis, 1).shape[2]
    try:
        edited = model.run([ids], edits=[scale(name, 0.5, units=range((width + 1) // 2))])["logits"]
    except (EditTouchedNothing, SiteDidNotFire):
        return False
    return bool((edited != seen["logits"]).any())


def _stream(model: Model, seen: dict[str, Tensor]) -> Check:
    parts = [x for name, x in seen.items() if name.startswith(("embed", "attn.out.", "mlp.out."))]
    off = relative(torch.stack(parts).sum(0), seen["resid.final"])
    return judged("stream sum", off, SUMS[model.dtype], "embed + Σ attn.out + Σ mlp.out against resid.final")


def _watched(seen: dict[str, Tensor], untouched: Tensor) -> Check:
    off = float((seen["logits"] - untouched).abs().max())
    says = "largest |Δlogit| between a pass with every site captured and the untouched module"
    return judged("watched pass", off, 0.0, says)
