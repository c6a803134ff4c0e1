"""The compiled products and choices against the plain ones, and the choice by screening against float32 everywhere.

Sizes are odd on purpose: no multiple of a vector's width, of a thread's share of rows, or of one another. The third
row is zero, so that all its scores are equal; a fifth of the units are never above zero.
"""

from itertools import pairwise

import pytest
import torch

from microtome.dictionary import choosing
from microtome.dictionary.codes import Picks
from microtome.dictionary.kernels import compiled, plain
from microtome.dictionary.sparse import decoded, values

T, U, D = 131, 301, 37
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def case() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(T, D, generator=random)
    x[2] = 0
    bias = 0.3 * torch.randn(U, generator=random)
    bias[::5] = -1e3
    weights = torch.randn(U, D, generator=random)
    return {"x": x, "weights": weights, "bias": bias, "scale": 0.5 + torch.rand(U, generator=random)}


@pytest.fixture(scope="module")
def picks(case) -> Picks:
    """About a tenth of all places; some rows and some units have none."""
    chosen = torch.rand(T, U, generator=torch.Generator().manual_seed(1)) < 0.1
    chosen[7], chosen[:, 11] = False, False
    return Picks.of(chosen)


def scores(case) -> torch.Tensor:
    return (case["x"] @ case["weights"].T + case["bias"]) * case["scale"]


def as_sets(picks: Picks) -> list[set[int]]:
    ids = picks.ids.tolist()
    ends = picks.offsets.tolist()
    return [set(ids[start:end]) for start, end in pairwise(ends)]


@pytest.mark.parametrize("kernels", [plain, compiled])
def test_a_row_of_zeros_without_biases_has_no_unit(kernels, case):
    x, weights, none = case["x"], case["weights"], torch.zeros(U)
    picks = kernels.top_of_each(x @ weights.T, x, weights, none, case["scale"], 5)
    assert picks.counts[2] == 0
    assert (picks.counts[torch.arange(T) != 2] == 5).all()


@pytest.mark.parametrize("kernels", [plain, compiled])
def test_products_are_those_of_dense_arrays(kernels, case, picks):
    x, weights = case["x"], case["weights"]
    active = torch.randn(len(picks), generator=torch.Generator().manual_seed(2))
    full = torch.zeros(T, U)
    full[picks.rows, picks.ids] = active
    torch.testing.assert_close(kernels.dots(x, weights, picks), (x @ weights.T)[picks.rows, picks.ids], **CLOSE)
    torch.testing.assert_close(kernels.mixed(active, weights, picks), full @ weights, **CLOSE)
    torch.testing.assert_close(kernels.gathered(active, x, picks), full.T @ x, **CLOSE)


@pytest.mark.parametrize("kernels", [plain, compiled])
@pytest.mark.parametrize("k", [1, 7, 32, 290, U])
def test_the_strongest_of_each_row(kernels, case, k):
    product = case["x"] @ case["weights"].T
    found = kernels.top_of_each(product, **case, k=k)
    best = scores(case).topk(k, dim=1)
    expected = [
        {unit for unit, value in zip(ids, row, strict=True) if value > 0}
        for ids, row in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
    assert as_sets(found) == expected
    assert found.dots is not None
    torch.testing.assert_close(found.dots, product[found.rows, found.ids], **CLOSE)


@pytest.mark.parametrize("kernels", [plain, compiled])
@pytest.mark.parametrize("k", [1, 7])
def test_rows_of_any_length(kernels, case, k):
    """A row's neighbour is no guide to where its strongest begin; squares of the longest rows overflow."""
    lengths = 10.0 ** torch.linspace(-25, 25, T)[torch.randperm(T, generator=torch.Generator().manual_seed(3))]
    rows = {**case, "x": case["x"] * lengths[:, None], "bias": torch.zeros(U)}
    table = scores(rows)
    found = kernels.top_of_each(rows["x"] @ case["weights"].T, **rows, k=k)
    best = table.topk(k, dim=1).indices.tolist()
    nothing = (table == 0).all(1).tolist()
    assert as_sets(found) == [set() if none else set(ids) for ids, none in zip(best, nothing, strict=True)]


@pytest.mark.parametrize("kernels", [plain, compiled])
def test_of_equal_units_as_many_as_were_asked_for(kernels, case):
    equal = {**case, "weights": case["weights"] * 0, "bias": torch.ones(U), "scale": torch.ones(U)}
    found = kernels.top_of_each(torch.zeros(T, U), **equal, k=5)
    assert (found.counts == 5).all()
    assert all(len(row) == 5 for row in as_sets(found))


@pytest.mark.parametrize("kernels", [plain, compiled])
@pytest.mark.parametrize("n", [1, 50, 3000, T * U])
def test_the_strongest_of_the_whole_batch(kernels, case, n, monkeypatch):
    monkeypatch.setattr(choosing, "kernels_for", lambda x: kernels)
    found = choosing.top_of_all(**case, shift=None, n=n)
    table = scores(case)
    least = table.flatten().topk(n).values[-1].clamp(min=0)
    assert as_sets(found) == as_sets(Picks.of((table >= least) & (table > 0)))


def test_a_batch_whose_sample_is_richer_than_the_rest_is_still_served(case):
    """Every sixteenth row, from which the bound is guessed, is a hundred times as large."""
    x = case["x"].clone()
    x[:: choosing.SAMPLED] *= 100
    rich = {**case, "x": x}
    found = choosing.top_of_all(**rich, shift=None, n=3000)
    table = scores(rich)
    assert as_sets(found) == as_sets(Picks.of(table >= table.flatten().topk(3000).values[-1]))


def test_rows_chosen_in_parts_are_those_chosen_together(case, monkeypatch):
    def chosen() -> list[Picks]:
        bounded = {name: tensor for name, tensor in case.items() if name != "scale"}
        return [choosing.top_of_each(**case, shift=None, k=7), choosing.above(**bounded, shift=None, bound=0.5)]

    together = chosen()
    monkeypatch.setattr(choosing, "rows_at_once", lambda units, on_cpu: 10)
    for one, other in zip(together, chosen(), strict=True):
        assert as_sets(one) == as_sets(other)
        torch.testing.assert_close(one.dots, other.dots, **CLOSE)


@pytest.mark.parametrize("kernels", [plain, compiled])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_above_its_rows_bound(kernels, case, dtype):
    product = (case["x"] @ case["weights"].T).to(dtype)
    bounds = torch.linspace(-2, 5, T)
    found = kernels.screen(product, case["bias"], case["scale"], bounds)
    assert as_sets(found) == as_sets(Picks.of((product.float() + case["bias"]) * case["scale"] > bounds[:, None]))


@pytest.mark.parametrize("kernels", [plain, compiled])
def test_nothing_chosen_is_no_trouble(kernels, case, monkeypatch):
    none = Picks.of(torch.zeros(T, U, dtype=torch.bool))
    empty = torch.zeros(0)
    assert kernels.dots(case["x"], case["weights"], none).shape == (0,)
    assert not kernels.mixed(empty, case["weights"], none).any()
    assert not kernels.gathered(empty, case["x"], none).any()
    silent = {**case, "bias": torch.full((U,), -1e9)}
    product = case["x"] @ case["weights"].T
    assert len(kernels.top_of_each(product, **silent, k=5)) == 0
    monkeypatch.setattr(choosing, "kernels_for", lambda x: kernels)
    assert len(choosing.top_of_all(**silent, shift=None, n=50)) == 0


@pytest.fixture(scope="module")
def large() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """As a training step meets it: sparse sums of directions about a mean, and units that agree with some of them."""
    random = torch.Generator().manual_seed(0)
    truth = torch.nn.functional.normalize(torch.randn(1024, 256, generator=random))
    active = torch.rand(512, 1024, generator=random) * (torch.rand(512, 1024, generator=random) < 0.02)
    x = active @ truth + 0.02 * torch.randn(512, 256, generator=random) + 0.2
    weights = truth[torch.arange(2048) % 1024] + 0.05 * torch.randn(2048, 256, generator=random)
    return x, weights, 0.05 * torch.randn(2048, generator=random), x.mean(0)


def test_screening_in_bf16_chooses_what_float32_would(large):
    x, weights, bias, shift = large
    exact = (x - shift) @ weights.T + bias
    for found, expected in (
        (choosing.top_of_each(x, weights, bias, shift, 32), exact >= exact.topk(32, dim=1).values[:, -1:]),
        (choosing.top_of_all(x, weights, bias, shift, 32 * 512), exact >= exact.flatten().topk(32 * 512).values[-1]),
        (choosing.above(x, weights, bias, shift, 0.2), exact > 0.2),
    ):
        assert expected[found.rows, found.ids].sum() / expected.sum() >= 0.999
        assert abs(len(found) - int(expected.sum())) <= 0.001 * int(expected.sum())


@pytest.mark.parametrize("kernels", [plain, compiled])
@pytest.mark.parametrize("k", [1, 5, 32, 100])
def test_what_screening_leaves_in_doubt_is_decided_exactly(kernels, large, k):
    """However few candidates are computed at first, and wherever their scores are."""
    x, weights, bias, shift = large
    x, scale = x - shift, torch.ones_like(bias)
    found = kernels.top_of_each((x.bfloat16() @ weights.bfloat16().T), x, weights, bias, scale, k)
    exact = x.double() @ weights.double().T + bias
    expected = (exact >= exact.topk(k, dim=1).values[:, -1:]) & (exact > 0)
    assert expected[found.rows, found.ids].sum() / expected.sum() >= 0.999
    assert len(found) <= 1.001 * int(expected.sum())


def test_gradients_in_float32_are_those_of_dense_products(large):
    x, *parameters = large
    weights, bias, shift = (one.clone().requires_grad_() for one in parameters)
    with torch.no_grad():
        picks = choosing.top_of_each(x, weights, bias, shift, 32)
    loss = decoded(values(x, weights, bias, shift, picks), weights, picks).square().sum()
    found = torch.autograd.grad(loss, [weights, bias, shift])
    full = torch.zeros(512, 2048)
    full[picks.rows, picks.ids] = 1
    dense = ((((x - shift) @ weights.T + bias) * full) @ weights).square().sum()
    for ours, reference in zip(found, torch.autograd.grad(dense, [weights, bias, shift]), strict=True):
        assert (ours - reference).abs().max() <= 1e-4 * reference.abs().max()
