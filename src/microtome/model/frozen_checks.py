"""Checks of the frozen network: that it is affine, complete, and that its matrix products are its gradients."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.model.certificate import Check, judged, verdict
from microtome.model.frozen import Frozen, FrozenLayer, freeze
from microtome.model.live_checks import relative, worst
from microtome.model.model import Model
from microtome.model.projections import MERGE, in_words, unlike_their_weights
from microtome.model.replay import Replay, replay

AGAINST_REAL = {torch.float64: 1e-5, torch.float32: 1e-4}
"""In float64 what remains is transformers' own rounding to float32 inside norms."""
AGAINST_FROZEN = {torch.float64: 1e-9, torch.float32: 1e-4}
LAYERS_IN_FULL = 4
UNITS_A_LAYER = 2


@dataclass(frozen=True)
class Reading:
    """A number in the network that is read off the stream: a direction on it, and what there is without stream.

    Attributes:
        kind: `read`, `unit` or `logit`.
        vector: `[d]`, on the stream.
        position: whose stream.
        layers: how many whole layers lie below.
        attention: whether that of the next layer lies below too.
        constant: what is read without any stream.
        value: what the model itself has there.
        place: where a replay has it: position and unit, or the two tokens of a logit difference.
    """

    kind: str
    vector: Float[Tensor, "d"]
    position: int
    layers: int
    attention: bool
    constant: Float[Tensor, ""]
    value: Float[Tensor, ""]
    place: tuple[int, int]


@dataclass(frozen=True)
class Sources:
    """How a reading depends on everything that wrote to the stream, with units cut.

    Attributes:
        embed: `[p, d]`; units: `[p, u]` for each layer below; constant: what the layers' biases give it.
    """

    embed: Float[Tensor, "p d"]
    units: dict[int, Float[Tensor, "p u"]]
    constant: Float[Tensor, ""]


def frozen_checks(model: Model, ids: list[int], note: str) -> list[Check]:
    """All of them, on one prompt."""
    real = AGAINST_REAL[model.dtype]
    own = AGAINST_FROZEN[model.dtype]

    @cache
    def frozen() -> Frozen:
        return freeze(model, [ids])

    @cache
    def readings() -> list[Reading]:
        return _readings(model, frozen())

    def complete(name: str, kind: str) -> Check:
        off = worst([_incompleteness(frozen(), one) for one in readings() if one.kind == kind])
        return judged(name, off, real, "its sources summed, over the sum of absolute terms")

    def products() -> Check:
        off = _against_autograd(frozen(), [one for one in readings() if one.kind != "read"])
        return judged("matrix products", off, own, "direct effects of every source against autograd")

    rows: dict[str, Callable[[], Check]] = {
        "projections": lambda: _projections(model),
        "frozen pass": lambda: judged(
            "frozen pass", _against_real(model, frozen()), real, "hidden units and logits against the real pass"
        ),
        "frozen branches": lambda: judged(
            "frozen branches", _against_branches(frozen()), real, "each branch rebuilt against what it added"
        ),
        "affinity": lambda: judged(
            "affinity", _affinity(frozen()), own, "f(3a − 2b) against 3 f(a) − 2 f(b), over embeddings"
        ),
        **{
            name: partial(complete, name, kind)
            for kind, name in (
                ("read", "completeness of a pre-gate read"),
                ("unit", "completeness of a hidden unit"),
                ("logit", "completeness of a logit difference"),
            )
        },
        "matrix products": products,
    }
    found = [verdict(name, check) for name, check in rows.items()]
    return [replace(row, says=row.says + note) for row in found]


def _projections(model: Model) -> Check:
    others = unlike_their_weights(model.anatomy)
    says = "projections that compute something else than their weight"
    return judged("projections", float(len(others)), 0.0, f"{in_words(others)}; {MERGE}" if others else says)


def _against_real(model: Model, frozen: Frozen) -> float:
    with torch.no_grad():
        passed = replay(frozen, frozen.embed, cut=False)
        logits = relative(frozen.anatomy.capped(passed.logits), model.run([frozen.ids])["logits"][0])
    units = (relative(passed.units[layer.index], layer.neurons) for layer in frozen.layers)
    return worst([logits, *units])


def _against_branches(frozen: Frozen) -> float:
    """Layer by layer on the real stream: the maps that go up, where the gradients go down."""
    errors = []
    for layer in frozen.layers:
        errors.append(relative(layer.attention.attended(layer.stream) + layer.attention.constant, layer.attention.out))
        errors.append(relative(layer.written(layer.neurons) + layer.mlp_constant, layer.mlp_out))
    return worst(errors)


def _affinity(frozen: Frozen) -> float:
    """At a point far from the prompt: the gradient alone would not tell a frozen map from a tangent."""
    a = frozen.embed
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(0), dtype=a.dtype).to(a.device)
    b = noise * a.std()
    at_a, at_b, at_both = (replay(frozen, x, cut=False) for x in (a, b, 3 * a - 2 * b))

    def error(f_a: Tensor, f_b: Tensor, f_both: Tensor) -> float:
        size = (3 * f_a).abs().max() + (2 * f_b).abs().max()
        return float((f_both - 3 * f_a + 2 * f_b).abs().max() / size)

    with torch.no_grad():
        units = [error(at_a.units[i], at_b.units[i], at_both.units[i]) for i in at_a.units]
        return worst([*units, error(at_a.logits, at_b.logits, at_both.logits)])


def _readings(model: Model, frozen: Frozen) -> list[Reading]:
    n = len(frozen.layers)
    chosen = range(n) if n <= LAYERS_IN_FULL else sorted({1, n // 2, n - 1})
    below = model.run([frozen.ids], capture=["mlp.in.*"]).stack("mlp.in.*")[:, 0]
    found = [_logit_difference(frozen)]
    for i in chosen:
        layer = frozen.layers[i]
        for position in (frozen.n_positions // 2, frozen.n_positions - 1):
            few = min(UNITS_A_LAYER, layer.layer.n_units)
            for unit in layer.neurons[position].abs().topk(few).indices.tolist():
                found.append(_unit(layer, position, unit))
                found.append(_read(layer, below[i, position], position, unit))
    return found


def _unit(layer: FrozenLayer, position: int, unit: int) -> Reading:
    at = torch.tensor([position]), torch.tensor([unit])
    at = at[0].to(layer.stream.device), at[1].to(layer.stream.device)
    vector = layer.reads(*at)[0]
    constant = layer.read_constants(*at)[0]
    value = layer.neurons[position, unit]
    return Reading("unit", vector, position, layer.index, not layer.layer.parallel, constant, value, (position, unit))


def _read(frozen: FrozenLayer, x: Tensor, position: int, unit: int) -> Reading:
    """The value before the activation, from what the MLP really read."""
    layer = frozen.layer
    norm = frozen.layer.mlp_norm
    row = layer.w_gate[unit]
    vector = row
    constant = row.new_zeros(())
    if norm is not None and frozen.mlp_scale is not None:
        vector = norm.pull(row, frozen.mlp_scale[position])
        constant = constant if norm.bias is None else norm.bias @ row
    place = (position, unit)
    return Reading("read", vector, position, frozen.index, not layer.parallel, constant, x @ row, place)


def _logit_difference(frozen: Frozen) -> Reading:
    last = frozen.n_positions - 1
    logits = frozen.logits(last)
    best, second = logits.topk(2).indices.tolist()
    direction = frozen.anatomy.w_u[best] - frozen.anatomy.w_u[second]
    constant = frozen.direction_constant(direction)
    bias = frozen.anatomy.b_u
    if bias is not None:
        constant = constant + bias[best] - bias[second]
    vector = frozen.pull_direction(direction, last)
    value = logits[best] - logits[second]
    return Reading("logit", vector, last, len(frozen.layers), False, constant, value, (best, second))


def _sources(frozen: Frozen, reading: Reading) -> Sources:
    """Carries a reading's vector down the stream by matrix products, past the units, which are cut."""
    g = torch.zeros_like(frozen.embed)
    g[reading.position] = reading.vector
    constant = reading.constant.clone()
    units: dict[int, Tensor] = {}
    if reading.attention:
        g, constant = _past_attention(frozen.layers[reading.layers], g, constant)
    for layer in reversed(frozen.layers[: reading.layers]):
        units[layer.index] = layer.unit_gradients(g)
        constant = constant + (g * layer.mlp_constant).sum()
        g, constant = _past_attention(layer, g, constant)
    return Sources(g, units, constant)


def _past_attention(layer: FrozenLayer, g: Tensor, constant: Tensor) -> tuple[Tensor, Tensor]:
    return g + layer.attention.pull(g[None])[0], constant + (g * layer.attention.constant).sum()


def _incompleteness(frozen: Frozen, reading: Reading) -> float:
    sources = _sources(frozen, reading)
    terms = [(sources.embed * frozen.embed).flatten(), sources.constant[None]]
    terms += [(g * frozen.layers[i].neurons).flatten() for i, g in sources.units.items()]
    everything = torch.cat(terms)
    return _share((everything.sum() - reading.value).abs(), everything.abs().sum())


def _against_autograd(frozen: Frozen, readings: list[Reading]) -> float:
    """The untouched module's own graph, held at the prompt and cut at the units, gives the other answer."""
    embed = frozen.embed.clone().requires_grad_()
    passed = replay(frozen, embed, cut=True)
    errors = []
    for reading in readings:
        ours = _sources(frozen, reading)
        leaves = [embed, *(passed.sources[i] for i in ours.units)]
        theirs = torch.autograd.grad(_replayed(passed, reading), leaves, retain_graph=True, materialize_grads=True)
        size = torch.stack([one.abs().max() for one in theirs]).max()
        pairs = zip([ours.embed, *ours.units.values()], theirs, strict=True)
        errors += [_share((mine - other).abs().max(), size) for mine, other in pairs]
    return worst(errors)


def _share(error: Tensor, size: Tensor) -> float:
    """An error relative to a size; of what nothing reaches both are zero, and nothing is wrong."""
    return 0.0 if error == 0 == size else float(error / size)


def _replayed(passed: Replay, reading: Reading) -> Tensor:
    first, second = reading.place
    if reading.kind == "logit":
        return passed.logits[reading.position, first] - passed.logits[reading.position, second]
    return passed.units[reading.layers][first, second]
