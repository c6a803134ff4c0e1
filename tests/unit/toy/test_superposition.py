"""Toy models of superposition: against closed forms, published numbers and laws that hold for any weights."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microtome.core.errors import WrongUse
from microtome.toy.superposition import learning
from microtome.toy.superposition.absolute import Absolutes, absolutes
from microtome.toy.superposition.analytic import (
    THREE_IN_TWO,
    TWO_IN_ONE,
    least,
    polygon,
    principal_components,
    together,
    variance,
)
from microtome.toy.superposition.choosing import best_of
from microtome.toy.superposition.features import Features, Points, features
from microtome.toy.superposition.geometry import (
    dimensionality,
    dimensions_per_feature,
    interference,
    shapes,
)
from microtome.toy.superposition.learning import ToyConfig, descended, learned
from microtome.toy.superposition.toys import Toys

QUICK = {"steps": 2_000, "lr": 1e-2, "decay": "cosine"}


def random(seed=0):
    return torch.Generator().manual_seed(seed)


# --- features


@pytest.mark.parametrize("together, sets", [("independent", 1), ("correlated", 2), ("anticorrelated", 4)])
def test_each_feature_is_active_with_its_probability(together, sets):
    p = torch.tensor([[0.2] * 4 + [0.05] * 4, [0.25] * 8])
    x = Features(p, torch.ones_like(p), together=together, sets=sets).sample(40_000, random())
    active = x != 0
    torch.testing.assert_close(active.float().mean(1), p, atol=0.01, rtol=0)
    # Values of what is active are uniform on [0, 1].
    values = x[active]
    assert float(values.min()) > 0
    assert float(values.max()) < 1
    assert float(values.mean()) == pytest.approx(0.5, abs=0.01)


def test_correlated_features_are_active_together_with_values_of_their_own():
    of = features(6, 0.3)
    x = Features(of.probability, of.importance, together="correlated", sets=3).sample(5_000, random())[0]
    groups = (x != 0).view(-1, 2, 3)
    assert torch.equal(groups.any(2), groups.all(2))
    assert 0.05 < float((groups[:, 0, 0] & groups[:, 1, 0]).float().mean()) < 0.13  # sets are independent
    both = x[groups[:, 0, 0]]
    assert abs(float(torch.corrcoef(both[:, :2].T)[0, 1])) < 0.1


def test_anticorrelated_features_are_never_active_together():
    of = features(6, 0.3)
    x = Features(of.probability, of.importance, together="anticorrelated", sets=3).sample(5_000, random())[0]
    assert int((x != 0).view(-1, 2, 3).sum(2).max()) == 1


def test_signed_features_are_of_both_signs():
    of = features(4, 1.0)
    x = Features(of.probability, of.importance, signed=True).sample(10_000, random())
    assert float(x.mean()) == pytest.approx(0, abs=0.02)
    assert float(x.square().mean()) == pytest.approx(1 / 3, abs=0.01)


def test_copies_stand_beside_one_another():
    of = features(3, [0.1, 0.2], 0.5, copies=2)
    assert of.probability[:, 0].tolist() == pytest.approx([0.1, 0.1, 0.2, 0.2])
    assert of.importance[0].tolist() == [1, 0.5, 0.25]
    assert best_of(torch.tensor([3.0, 1.0, 2.0, 4.0]), 2).tolist() == [1, 2]


@pytest.mark.parametrize(
    "made, found",
    [
        ({"probability": torch.tensor([[1.5]]), "importance": torch.ones(1, 1)}, "from 1.5 to 1.5"),
        ({"sets": 3, "together": "correlated"}, "4 features in sets of 3"),
        ({"sets": 2}, "4 features in sets of 2"),
        ({"together": "correlated"}, "4 features in sets of 1"),
        ({"sets": 2, "together": "anticorrelated", "probability": torch.full((1, 4), 0.6)}, "2 in a set"),
        ({"sets": 2, "together": "correlated", "probability": torch.tensor([[0.1, 0.2, 0.1, 0.1]])}, "differ in a set"),
    ],
)
def test_features_that_cannot_be_are_refused(made, found):
    with pytest.raises(WrongUse, match="make") as error:
        Features(**{"probability": torch.full((1, 4), 0.1), "importance": torch.ones(1, 4), **made})
    assert found in error.value.found


# --- closed forms


@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("r", [0.3, 1.0, 3.0])
def test_losses_of_constructed_solutions_are_those_of_the_closed_forms(p, r):
    of = Features(torch.full((3, 2), p), torch.tensor([[1.0, r]]).repeat(3, 1))
    weights = torch.tensor([[[1.0], [0.0]], [[1.0], [-1.0]], [[0.0], [1.0]]])
    bias = torch.tensor([[0.0, p / 2], [0.0, 0.0], [p / 2, 0.0]])
    expected = torch.tensor([solution(p, r) for solution in TWO_IN_ONE.values()])
    # Of 2.6 million inputs, both features are active in 26,000 at the least: the standard error is under a hundredth.
    found = Toys(weights, bias).expected_loss(of, batches=40, size=65_536)
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0)


def test_the_antipodal_pair_begins_where_the_formulas_cross():
    for r in (0.25, 0.5, 1.0):
        bound = 4 * r / (2 + 5 * r)
        assert least(TWO_IN_ONE, bound - 1e-4, r) == "in superposition"
        assert least(TWO_IN_ONE, bound + 1e-4, r) == "the last is left out"
    assert least(TWO_IN_ONE, 1.0, 2.0) == "the last alone has its dimension"
    assert together(0.5, 1.0, 1.0) == pytest.approx(1 / 12)
    assert variance(1.0) == pytest.approx(1 / 12)
    # Two equal features can share a dimension beside a third, whose importance then costs nothing.
    assert THREE_IN_TWO["in superposition"](0.5, 100.0) == pytest.approx(1 / 12)


# --- geometry


@pytest.mark.parametrize("n", [2, 3, 5, 7])
def test_a_regular_polygon_shares_two_dimensions_evenly(n):
    weights = polygon(n)[None]
    share = 2 / n if n > 2 else 0.5  # two are antipodal, in one dimension
    torch.testing.assert_close(dimensionality(weights), torch.full((1, n), share))
    torch.testing.assert_close(dimensions_per_feature(weights), torch.tensor([2 / n]))
    assert [one.name for one in shapes(weights[0])] == [
        {2: "antipodal pair", 3: "triangle", 5: "pentagon"}.get(n, "7 features in 2 dimensions")
    ]


def test_an_orthogonal_sum_of_shapes_is_told_apart():
    tetrahedron = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / math.sqrt(3)
    antiprism = torch.cat([
        torch.cat([0.9 * polygon(4) if up else 0.9 * polygon(8)[1::2], torch.full((4, 1), 0.45 if up else -0.45)], 1)
        for up in (True, False)
    ])  # fmt: skip
    parts = [torch.ones(1, 1), polygon(5), tetrahedron, antiprism, torch.tensor([[1.0], [-1.0]])]
    weights = torch.block_diag(*parts, torch.full((1, 1), 0.1))  # and one that is hardly there
    names = [one.name for one in shapes(weights)]
    assert names == ["square antiprism", "pentagon", "tetrahedron", "antipodal pair", "dedicated dimension"]
    found = dimensionality(weights[None])[0]
    assert found[:1].tolist() == pytest.approx([1.0])
    assert found[1:6].tolist() == pytest.approx([0.4] * 5)
    assert found[6:10].tolist() == pytest.approx([0.75] * 4)
    assert shapes(torch.zeros(3, 2)) == []


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 10_000))
@settings(max_examples=40)
def test_dimensionalities_sum_up_to_at_most_the_rank(m, n, seed):
    weights = torch.randn(2, n, m, generator=random(seed), dtype=torch.float64).float()
    each = dimensionality(weights)
    assert bool((each <= 1 + 1e-5).all())
    assert bool((each.sum(1) <= min(n, m) + 1e-4).all())


def test_interference_is_what_other_features_read_as_this_one():
    weights = torch.tensor([[[2.0, 0.0], [3.0, 4.0], [0.0, 1.0], [0.0, 0.0]]])
    torch.testing.assert_close(interference(weights)[0], torch.tensor([3.0, math.hypot(1.2, 0.8), 4.0, 0.0]))
    assert dimensionality(weights)[0, 3] == 0


# --- trained


def test_models_of_five_features_in_two_dimensions_reach_published_losses_and_shapes():
    of = features(5, [1.0, 0.5, 0.05], copies=8)
    made = learned(of, ToyConfig(hidden=2, batch=512, **QUICK)).toys
    losses = made.expected_loss(of) / 5  # the published ones are means over features
    best = best_of(losses, 8)
    assert losses[best].tolist() == pytest.approx([principal_components(5, 2) / 5, 0.0512, 0.0018], rel=0.05)
    names = [[one.name for one in shapes(one)] for one in made.weights[best]]
    assert names[1:] == [["antipodal pair", "antipodal pair"], ["pentagon"]]
    each = dimensionality(made.weights[best])
    assert each[2].tolist() == pytest.approx([0.4] * 5, abs=0.02)
    left_out = int(each[1].argmin())
    assert float(made.bias[best[1], left_out]) == pytest.approx(0.25, abs=0.01)  # its mean, p/2
    assert bool((dimensionality(made.weights).sum(1) <= 2 + 1e-4).all())


def test_with_a_dimension_for_each_feature_nothing_is_lost():
    of = features(3, [1.0, 0.1])
    made = learned(of, ToyConfig(hidden=3, batch=256, **QUICK)).toys
    assert bool((made.expected_loss(of) < 1e-5).all())


def test_a_model_learns_as_if_it_were_alone():
    def alone(which):
        of = features(4, [0.1, 0.9])
        parameters = {"weights": start[which].clone(), "bias": torch.zeros(len(which), 4)}
        x = of.sample(64, random(1))[which]

        def losses(part, models):
            return Toys(**part).loss(x[models], of.importance[which][models])

        descended(parameters, losses, ToyConfig(hidden=2, steps=20))
        return parameters["weights"].detach()

    start = torch.randn(2, 4, 2, generator=random())
    together_ = alone([0, 1])
    torch.testing.assert_close(together_, torch.cat([alone([0]), alone([1])]))


def test_models_learn_the_same_in_parts_as_all_at_once(monkeypatch):
    of, config = features(4, [0.9, 0.5, 0.1]), ToyConfig(hidden=2, steps=20, batch=64)
    at_once = learned(of, config).toys
    for one_model in (64 * 4, 2 * 64 * 4):
        monkeypatch.setattr(learning, "AT_A_TIME", one_model)
        in_parts = learned(of, config).toys
        torch.testing.assert_close(in_parts.weights, at_once.weights)
        torch.testing.assert_close(in_parts.bias, at_once.bias)


def test_a_run_is_the_same_again_and_is_seen_from_its_first_step_to_its_last():
    of = features(4, [0.2, 0.1])
    config = ToyConfig(hidden=2, steps=50, batch=64, seen=4)
    one, other = learned(of, config), learned(of, config)
    assert torch.equal(one.toys.weights, other.toys.weights)
    assert one.steps == (0, 16, 33, 49)
    assert one.losses.shape == (4, 2)
    assert len(one.path) == 4
    assert not torch.equal(one.path[0].weights, one.path[-1].weights)
    assert torch.equal(one.path[1].weights, other.path[1].weights)
    assert float(one.losses[-1].sum()) < float(one.losses[0].sum())


def test_a_few_inputs_are_all_that_a_model_is_given():
    x = torch.nn.functional.normalize(features(20, 0.2).sample(3, random()), dim=2)
    seen = Points(x.expand(8, -1, -1), torch.ones(8, 20))
    assert seen.sample(1_000, random()) is seen.x
    made = learned(seen, ToyConfig(hidden=2, **QUICK)).toys
    losses = made.loss(seen.x, seen.importance)
    assert float(losses.min()) < 0.01  # of inputs of length 1: three are learned by heart in two dimensions
    assert float(dimensionality(made.hidden(seen.x))[int(losses.argmin())].sum()) <= 2 + 1e-4


def test_sizes_out_of_range_are_refused():
    with pytest.raises(WrongUse) as error:
        ToyConfig(hidden=0, lr=-1.0)
    assert error.value.found == "hidden=0, lr=-1.0"
    with pytest.raises(WrongUse, match="no more glances than steps"):
        ToyConfig(hidden=1, steps=3, seen=4)


# --- absolute values


def exact(n):
    """ReLU(x) + ReLU(−x)."""
    eye = torch.eye(n)
    return Absolutes(torch.cat([eye, -eye], 1)[None], torch.cat([eye, eye])[None], torch.zeros(1, n))


def test_two_units_a_feature_compute_absolute_values_exactly():
    x = Features(torch.ones(1, 3), torch.ones(1, 3), signed=True).sample(100, random())
    torch.testing.assert_close(exact(3)(x), x.abs())
    torch.testing.assert_close(exact(3).features_per_unit, torch.ones(1, 6))


def test_a_trained_network_finds_them():
    of = Features(torch.full((8, 3), 0.5), torch.ones(8, 3), signed=True)
    made = absolutes(of, ToyConfig(hidden=6, batch=256, steps=3_000, lr=1e-2, decay="cosine"))
    losses = made.loss(of.sample(10_000, random(5)), of.importance)
    best = int(losses.argmin())
    assert float(losses[best]) < 1e-6
    assert float(made.features_per_unit[best].max()) < 1.05
