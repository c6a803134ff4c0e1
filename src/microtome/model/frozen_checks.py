"""Checks of the frozen network: that it is affine, complete, and that its matrix products are its gradients."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.model.certificate import Check, judged
from microtome.model.frozen import Frozen, FrozenLayer
from microtome.model.live_checks import relative, worst
from microtome.model.model import Model
from microtome.model.replay import Replay, replay

AGAINST_REAL = {torch.float64: 1e-5, torch.float32: 1e-4}
"""In float64 what remains is transformers' own rounding to float32 inside norms."""
AGAINST_FROZEN = {torch.float64: 1e-9, torch.float32: 1e-4}
LAYERS_IN_FULL = 4
UNITS_A_LAYER = 2


@dataclass(frozen=True)
class Target:
    """What is read at one position: a direction on the stream above some layers, and what it has without stream.

    Attributes:
        kind: `read`, `unit` or `logit`.
        vector: `[d]`, on the stream.
        position: whose stream.
        layers: how many whole layers lie below; with `attention`, that of the next one too.
        constant, value: the read without any stream, and the model's own value.
        replayed: the same read in a replay.
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
    """How a target depends on everything that wrote to the stream, with units cut.

    Attributes:
        embed: `[p, d]`; units: `[p, u]` for each layer below; constant: what the layers' biases give it.
    """

    embed: Float[Tensor, "p d"]
    units: dict[int, Float[Tensor, "p u"]]
    constant: Float[Tensor, ""]


def frozen_checks(model: Model, frozen: Frozen, note: str) -> list[Check]:
    """All of them, on one prompt."""
    real, own = AGAINST_REAL[model.dtype], AGAINST_FROZEN[model.dtype]
    targets = _targets(model, frozen)
    rows = [
        judged("frozen pass", _against_real(model, frozen), real, "hidden units and logits against the real pass"),
        judged("frozen branches", _against_branches(frozen), real, "each branch rebuilt against what it added"),
        judged("affinity", _affinity(frozen), own, "f(3a − 2b) against 3 f(a) − 2 f(b), over embeddings"),
    ]
    names = {"read": "a pre-gate read", "unit": "a hidden unit", "logit": "a logit difference"}
    for kind, name in names.items():
        off = worst([_incompleteness(frozen, one) for one in targets if one.kind == kind])
        rows.append(judged(f"completeness of {name}", off, real, "its sources summed, over the sum of absolute terms"))
    gradients = _against_autograd(frozen, [one for one in targets if one.kind != "read"])
    rows.append(judged("matrix products", gradients, own, "direct effects of every source against autograd"))
    return [Check(row.name, row.value, row.tolerance, row.passed, row.says + note) for row in rows]


def _capped(frozen: Frozen, logits: Tensor) -> Tensor:
    cap = frozen.anatomy.softcap
    return logits if cap is None else torch.tanh(logits / cap) * cap


def _against_real(model: Model, frozen: Frozen) -> float:
    with torch.no_grad():
        passed = replay(frozen, frozen.embed, cut=False)
        logits = relative(_capped(frozen, passed.logits), model.run([frozen.ids])["logits"][0])
    units = (relative(passed.units[layer.index], layer.neurons) for layer in frozen.layers)
    return worst([logits, *units])


def _against_branches(frozen: Frozen) -> float:
    """Layer by layer on the real stream: the maps that go up, where the gradients go down."""
    errors = []
    for layer in frozen.layers:
        errors.append(relative(layer.attended(layer.stream) + layer.attn_constant, layer.attn_out))
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


def _targets(model: Model, frozen: Frozen) -> list[Target]:
    n = len(frozen.layers)
    chosen = range(n) if n <= LAYERS_IN_FULL else sorted({1, n // 2, n - 1})
    below = model.run([frozen.ids], capture=["mlp.in.*"]).stack("mlp.in.*")[:, 0]
    found = [_logit_difference(frozen)]
    for i in chosen:
        layer = frozen.layers[i]
        for position in (frozen.n_positions // 2, frozen.n_positions - 1):
            for unit in layer.neurons[position].abs().topk(UNITS_A_LAYER).indices.tolist():
                found.append(_unit(layer, position, unit))
                found.append(_read(layer, below[i, position], position, unit))
    return found


def _unit(layer: FrozenLayer, position: int, unit: int) -> Target:
    at = torch.tensor([position]), torch.tensor([unit])
    at = at[0].to(layer.stream.device), at[1].to(layer.stream.device)
    vector, constant = layer.reads(*at)[0], layer.read_constants(*at)[0]
    value = layer.neurons[position, unit]
    return Target("unit", vector, position, layer.index, not layer.layer.parallel, constant, value, (position, unit))


def _read(frozen: FrozenLayer, x: Tensor, position: int, unit: int) -> Target:
    """The value before the activation, from what the MLP really read."""
    layer, norm = frozen.layer, frozen.layer.mlp_norm
    row = layer.w_gate[unit]
    vector, constant = row, row.new_zeros(())
    if norm is not None and frozen.mlp_scale is not None:
        vector = norm.pull(row, frozen.mlp_scale[position])
        constant = constant if norm.bias is None else norm.bias @ row
    place = (position, unit)
    return Target("read", vector, position, frozen.index, not layer.parallel, constant, x @ row, place)


def _logit_difference(frozen: Frozen) -> Target:
    last = frozen.n_positions - 1
    logits = frozen.logits(last)
    best, second = logits.topk(2).indices.tolist()
    direction = frozen.anatomy.w_u[best] - frozen.anatomy.w_u[second]
    constant, bias = frozen.direction_constant(direction), frozen.anatomy.b_u
    if bias is not None:
        constant = constant + bias[best] - bias[second]
    vector, value = frozen.pull_direction(direction, last), logits[best] - logits[second]
    return Target("logit", vector, last, len(frozen.layers), False, constant, value, (best, second))


def _sources(frozen: Frozen, target: Target) -> Sources:
    """Carries a target's read vector down the stream by matrix products, past the units, which are cut."""
    g = torch.zeros_like(frozen.embed)
    g[target.position] = target.vector
    constant = target.constant.clone()
    units: dict[int, Tensor] = {}
    if target.attention:
        g, constant = _past_attention(frozen.layers[target.layers], g, constant)
    for layer in reversed(frozen.layers[: target.layers]):
        units[layer.index] = layer.unit_gradients(g)
        constant = constant + (g * layer.mlp_constant).sum()
        g, constant = _past_attention(layer, g, constant)
    return Sources(g, units, constant)


def _past_attention(layer: FrozenLayer, g: Tensor, constant: Tensor) -> tuple[Tensor, Tensor]:
    return g + layer.pull_attention(g[None])[0], constant + (g * layer.attn_constant).sum()


def _incompleteness(frozen: Frozen, target: Target) -> float:
    sources = _sources(frozen, target)
    terms = [(sources.embed * frozen.embed).flatten(), sources.constant[None]]
    terms += [(g * frozen.layers[i].neurons).flatten() for i, g in sources.units.items()]
    everything = torch.cat(terms)
    return float((everything.sum() - target.value).abs() / everything.abs().sum())


def _against_autograd(frozen: Frozen, targets: list[Target]) -> float:
    """The untouched module's own graph, held at the prompt and cut at the units, gives the other answer."""
    embed = frozen.embed.clone().requires_grad_()
    passed = replay(frozen, embed, cut=True)
    errors = []
    for target in targets:
        ours = _sources(frozen, target)
        leaves = [embed, *(passed.sources[i] for i in ours.units)]
        theirs = torch.autograd.grad(_replayed(passed, target), leaves, retain_graph=True, materialize_grads=True)
        size = max(float(one.abs().max()) for one in theirs)
        pairs = zip([ours.embed, *ours.units.values()], theirs, strict=True)
        errors += [float((mine - other).abs().max()) / size for mine, other in pairs]
    return worst(errors)


def _replayed(passed: Replay, target: Target) -> Tensor:
    first, second = target.place
    if target.kind == "logit":
        return passed.logits[target.position, first] - passed.logits[target.position, second]
    return passed.units[target.layers][first, second]
