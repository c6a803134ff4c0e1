"""Captures, gradients and edits at every site of every family, against plain hooks on the untouched module."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import plain_hooks
from microtome.core.errors import WrongUse
from microtome.model import edits
from microtome.model.decoding import Decoding
from microtome.model.generation import generate
from microtome.model.model import Model
from tiny_models import FAMILIES, tiny_model, tiny_module

VARIANTS: dict[str, dict[str, Any]] = {family: {} for family in FAMILIES}
VARIANTS["gpt_neox, sequential"] = {"use_parallel_residual": False}
ROWS = [[5, 11, 3, 17, 8, 2, 13], [9, 4, 15, 3]]
LONG = ROWS[0]
OTHER = [6, 11, 21, 17, 30, 2, 41]
LAYER = 1
OVER_KEYS = ("attn.scores", "attn.pattern")

# Float64 throughout, but RMS norms and routers of transformers round to float32: where the last bit of their input
# differs, as it does between a batch and a row alone, their output may differ by 1e-7.
ROUNDED = 2e-6
SAME_ORDER = 1e-12


@dataclass(frozen=True)
class Pair:
    """The opened model, and its twin that only plain hooks have touched."""

    model: Model
    plain: Any

    @property
    def names(self) -> list[str]:
        """One site of each kind, and the hidden units of the layer before: of experts, in one family."""
        kinds = {name: self.model.site(name) for name in self.model.sites()}
        return [name for name, one in kinds.items() if one.layer in (None, LAYER) or name == "mlp.neurons.0"]

    def axis(self, name: str) -> int:
        return self.model.site(name).kind.position_axis


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request):
    family, changes = request.param.partition(",")[0], {"num_hidden_layers": 2, **VARIANTS[request.param]}
    changes |= {"n_layer": changes.pop("num_hidden_layers")} if family == "gpt2" else {}
    return Pair(tiny_model(family, **changes), plain_hooks.prepared(tiny_module(family, **changes)))


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    largest = float(expected.detach().abs().clamp(max=1e6).max())
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * max(1.0, largest))


def test_what_is_captured_is_what_a_hook_sees(pair):
    run = pair.model.run(LONG, pair.model.sites())
    for name, expected in plain_hooks.seen(pair.plain, LONG, pair.model.sites()).items():
        close(run[name], expected, SAME_ORDER)


def metric(logits: Tensor) -> Tensor:
    return logits[0, -1, 5] - logits[0, 2, 6].square() + logits[0, 1].logsumexp(-1)


def test_gradients_are_those_of_the_modules_own_graph(pair):
    """Strict: the same backward pass through the same arithmetic, whatever that rounds."""
    run = pair.model.run(LONG, pair.names, backward=metric)
    theirs = plain_hooks.gradients(pair.plain, LONG, pair.names, metric)
    assert run.metric == pytest.approx(float(metric(plain_hooks.logits(pair.plain, LONG))), rel=1e-12)
    for name, expected in theirs.items():
        assert expected.abs().max() > 0
        torch.testing.assert_close(run.grad[name], expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


def test_gradients_are_those_of_a_small_step(pair, monkeypatch):
    """With norms and routers that do not round, central differences agree; they alone kept them apart."""
    unrounded(pair.model, monkeypatch)
    draw = torch.Generator().manual_seed(0)
    names = [name for name in pair.names if name != "attn.scores.1"]
    run = pair.model.run(LONG, names, backward=metric)
    for name in names:
        step = torch.randn(run[name].shape, generator=draw, dtype=torch.float64)
        step = 1e-4 * step / step.norm()
        ends = [
            float(metric(pair.model.run(LONG, edits=[edits.add(name, sign * step)])["logits"])) for sign in (1.0, -1.0)
        ]
        slope = float((run.grad[name] * step).sum())
        assert (ends[0] - ends[1]) / 2 == pytest.approx(slope, rel=1e-5, abs=1e-7 * float(run.grad[name].norm()) * 1e-4)


def unrounded(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Norms and routers in the dtype of their input, where transformers goes through float32."""
    for module in model.module.modules():
        kind = type(module).__name__
        if kind.endswith("RMSNorm"):
            monkeypatch.setattr(module, "forward", partial(_rms, module, kind.startswith("Gemma")))
        elif kind.startswith("Cohere") and kind.endswith("LayerNorm"):
            monkeypatch.setattr(module, "forward", partial(_centred, module))
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, dtype=None: softmax(x, dim=dim))
    monkeypatch.setattr(Tensor, "float", lambda x: x)


def _rms(module: Any, plus_one: bool, x: Tensor) -> Tensor:
    eps = module.eps if plus_one else module.variance_epsilon
    return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt() * (module.weight + 1 if plus_one else module.weight)


def _centred(module: Any, x: Tensor) -> Tensor:
    x = x - x.mean(-1, keepdim=True)
    return x * (x.square().mean(-1, keepdim=True) + module.variance_epsilon).rsqrt() * module.weight


@dataclass(frozen=True)
class Case:
    """An edit as the package takes it, and by hand."""

    kind: str
    positions: tuple[int, ...] | None = None
    units: tuple[int, ...] | None = None
    value: Callable[[Tensor], Any] = lambda one: 0.5

    def made(self, name: str, one: Tensor) -> edits.Edit:
        make = {"set": edits.set, "add": edits.add, "scale": edits.scale}[self.kind]
        return make(name, self.value(one), positions=self.positions, units=self.units)

    def by_hand(self, x: Tensor, axis: int) -> Tensor:
        new = x.clone()
        moved = new.movedim(axis, 1)
        value = self.value(moved[0, 0])
        for position in range(moved.shape[1]) if self.positions is None else self.positions:
            for unit in range(moved.shape[2]) if self.units is None else self.units:
                v = value[unit] if isinstance(value, Tensor) else value
                old = moved[0, position, unit]
                moved[0, position, unit] = {"set": old * 0 + v, "add": old + v, "scale": old * v}[self.kind]
        return new


def vector(one: Tensor) -> Tensor:
    """A value for each of a position's units."""
    return torch.randn(one.shape, generator=torch.Generator().manual_seed(one.numel()), dtype=one.dtype)


CASES = (
    Case("scale", (1, -1), (0, -1)),
    Case("add", None, None, vector),
    Case("set", (-2, 0), None, vector),
    Case("add", None, (1,)),
    Case("set", (2,), (0, 1), lambda one: -0.25),
    Case("scale", None, None),
)


def test_edits_in_a_padded_batch_are_hooks_on_each_row(pair):
    """A third of the cases at one site, the others at the next two."""
    for i, name in enumerate(pair.names):
        axis = pair.axis(name)
        one = pair.model.run(LONG, [name])[name].movedim(axis, 1)[0, 0]
        for j, case in enumerate(CASES[i % 3 :: 3]):
            if case.value is vector and name.rpartition(".")[0] in OVER_KEYS:
                case = replace(case, value=CASES[0].value)  # keys are as many as a row is long
            side = ("left", "right")[(i // 3 + j) % 2]
            run = pair.model.run(ROWS, ["logits"], edits=[case.made(name, one)], padding=side)
            for row, ids in enumerate(ROWS):
                changes = {name: partial(case.by_hand, axis=axis)}
                expected = plain_hooks.logits(pair.plain, ids, changes)[0]
                close(run["logits"][row, : len(ids)], expected, ROUNDED)
                assert run["logits"][row, len(ids) :].abs().sum() == 0


def test_a_mask_is_every_place_for_itself(pair):
    draw = torch.Generator().manual_seed(1)
    for i, name in enumerate(pair.names):
        captured = pair.model.run(ROWS, [name])[name]
        mask = torch.rand(captured.shape, generator=draw) < 0.3
        run = pair.model.run(ROWS, edits=[edits.add(name, 0.5, where=mask)], padding=("left", "right")[i % 2])
        for row, ids in enumerate(ROWS):
            own = own_part(mask[row], len(ids), pair.model.site(name).kind.position_axes)
            expected = plain_hooks.logits(pair.plain, ids, {name: lambda x, own=own: x + 0.5 * own})[0]
            close(run["logits"][row, : len(ids)], expected, ROUNDED)


def own_part(x: Tensor, length: int, axes: tuple[int, ...]) -> Tensor:
    """A row's real part of a tensor that is padded on the right."""
    for axis in axes:
        x = x.narrow(axis - 1, 0, length)
    return x


@pytest.mark.parametrize("padding", ["left", "right"])
def test_set_to_what_was_captured_changes_no_bit(pair, padding):
    before = pair.model.run(ROWS, pair.model.sites(), padding=padding)
    for name in pair.names:
        edit = edits.set(name, before[name], may_be_empty=True)
        after = pair.model.run(ROWS, edits=[edit], padding=padding)
        assert torch.equal(after["logits"], before["logits"]), name


def test_ablations_are_hooks_that_set(pair):
    texts = [OTHER, [7, 3, 8], [4, 4, 9, 2]]
    alone = [plain_hooks.seen(pair.plain, ids, pair.names) for ids in texts]
    for i, name in enumerate(pair.names):
        axis = pair.axis(name)
        counterfactual = alone[0][name]
        whole = {"counterfactual": counterfactual}
        if name.rpartition(".")[0] not in OVER_KEYS:
            first = torch.stack([one[name][0, 0] for one in alone]).mean(0)
            rest = torch.cat([one[name][0, 1:] for one in alone]).mean(0)
            whole["mean"] = torch.stack([first, *[rest] * (len(LONG) - 1)])[None]
        for to, value in [*whole.items()][i % 2 :: 2] or whole.items():  # means at one site, another prompt at the next
            source = OTHER if to == "counterfactual" else texts
            positions = (None, (-1, 0, 2), (1, -len(LONG)))[i % 3]
            edit = edits.ablate(name, to=to, source=source, positions=positions)
            expected = plain_hooks.logits(pair.plain, LONG, {name: partial(put, value, positions, axis)})
            close(pair.model.run(LONG, edits=[edit])["logits"], expected, ROUNDED)


def put(value: Tensor, positions: tuple[int, ...] | None, axis: int, x: Tensor) -> Tensor:
    new = x.clone()
    places = range(x.shape[axis]) if positions is None else positions
    for position in places:
        new.movedim(axis, 1)[:, position] = value.movedim(axis, 1)[:, position]
    return new


def test_scores_and_patterns_have_no_mean(pair):
    with pytest.raises(WrongUse, match="an axis of keys"), pair.model.edit(edits.ablate("attn.pattern.1", to="mean")):
        pass


WHERE = {"named": (1, -1), "everywhere": None, "new": "new"}
STEPS = 4


@pytest.mark.parametrize("where", WHERE)
def test_edits_in_generation_with_a_cache_are_the_uncached_loop(pair, where):
    """One edit at every kind of site at once, over both layers; rows of different length."""
    names = [name.replace("attn.scores.1", "attn.scores.0") for name in pair.names]
    changes = {name: edits.scale(name, 0.6, positions=WHERE[where], units=(0, 1)) for name in names}
    found, steps = generated(pair.model, list(changes.values()))
    for row, ids in enumerate(ROWS):
        ids, prompt = list(ids), len(ids)
        for step in range(STEPS):
            hooks = {name: partial(scaled, where, prompt, pair.axis(name)) for name in names}
            logits = plain_hooks.logits(pair.plain, ids, hooks)[0, -1]
            close(steps[step][row], logits, ROUNDED)
            ids.append(int(logits.argmax()))
            if ids[-1] == pair.plain.config.eos_token_id:
                break
        assert found[row, : len(ids) - prompt].tolist() == ids[prompt:]


def scaled(where: str, prompt: int, axis: int, x: Tensor) -> Tensor:
    new = x.clone()
    moved = new.movedim(axis, 1)
    places = {"named": [1, prompt - 1], "everywhere": range(moved.shape[1]), "new": range(prompt, moved.shape[1])}
    for position in places[where]:
        for unit in (0, 1):
            moved[:, position, unit] *= 0.6
    return new


def generated(model: Model, changes: list[edits.Edit]) -> tuple[Tensor, list[Tensor]]:
    """New ids, and the logits that each came from, as the edited module gave them."""
    steps: list[Tensor] = []
    untouched = model.module.generate

    def watched(*args: Any, **kwargs: Any) -> Any:
        # Registered inside generate, so after the edits' own hooks: what is seen is what they made.
        handle = model.module.register_forward_hook(lambda module, args, out: steps.append(out.logits[:, -1].clone()))
        try:
            return untouched(*args, **kwargs)
        finally:
            handle.remove()

    model.module.generate = watched
    try:
        return generate(model, ROWS, Decoding(STEPS), edits=changes).ids, steps
    finally:
        del model.module.generate
