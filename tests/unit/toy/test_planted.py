"""Planted features: what is asked is what is there, and a dictionary is scored by what of it it found."""

import math
from dataclasses import replace

import pytest
import torch

from microtome.core.batches import BatchSource, Shuffles
from microtome.core.errors import SiteNotFound, WrongUse
from microtome.dictionary.directions import of_directions
from microtome.toy.planted.features import SITE, Planted, PlantedConfig
from microtome.toy.planted.scoring import recovery
from microtome.train.training import train

CONFIG = PlantedConfig(d=32, features=60, active=4.0)


def sample(config, tokens=40_000, seed=3):
    return Planted(config).sample(tokens, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("changed", [{}, {"tail": 0.0}, {"correlation": 0.8}, {"children": 3}, {"tail": 1.5}])
def test_features_are_active_as_often_as_the_truth_says(changed):
    config = replace(CONFIG, **changed)
    _, sizes = sample(config)
    truth = Planted(config).truth
    assert float(truth.rates.sum()) == pytest.approx(4.0, rel=1e-4)
    torch.testing.assert_close((sizes > 0).float().mean(0), truth.rates, atol=0.012, rtol=0)
    assert float(truth.rates.max()) <= 0.5
    own = truth.rates[truth.parents < 0]
    assert torch.equal(own, own.sort(descending=True).values)


def test_activations_are_the_mean_and_what_active_features_write():
    x, sizes = sample(CONFIG, 100)
    truth = Planted(CONFIG).truth
    torch.testing.assert_close(x, truth.mean + sizes @ truth.directions)
    torch.testing.assert_close(truth.directions.norm(dim=1), torch.ones(60))
    assert float(truth.mean.norm()) == pytest.approx(math.sqrt(4.0 * math.exp(2 * 0.3**2)), rel=1e-4)
    assert float(sizes[sizes > 0].log().std()) == pytest.approx(0.3, abs=0.03)


def test_noise_is_as_long_as_was_asked():
    quiet, sizes = sample(CONFIG)
    noisy, same = sample(replace(CONFIG, noise=0.5))
    assert torch.equal(sizes, same)
    length = (noisy - quiet).square().sum(1).mean().sqrt()
    assert float(length) == pytest.approx(0.5 * math.sqrt(4.0 * math.exp(2 * 0.3**2)), rel=0.01)


def test_features_of_a_group_come_together_and_those_of_two_do_not():
    _, sizes = sample(replace(CONFIG, features=16, group=4, tail=0.0, active=4.0, correlation=0.9))
    found = torch.corrcoef((sizes > 0).float().T)
    same = torch.block_diag(*[torch.ones(4, 4)] * 4).bool()
    off = ~torch.eye(16, dtype=torch.bool)
    assert float(found[same & off].min()) > 0.5
    assert float(found[~same].abs().max()) < 0.05


def test_a_child_comes_with_its_parent_and_without_its_siblings():
    config = replace(CONFIG, children=2, covered=0.6)
    _, sizes = sample(config)
    on, parents = sizes > 0, Planted(config).truth.parents
    children = (parents >= 0).nonzero().flatten()
    assert len(children) == 40
    assert bool((on[:, children] <= on[:, parents[children]]).all())
    for parent in (0, 7):
        own = on[:, parents == parent].sum(1)
        assert int(own.max()) == 1
        assert float(own[on[:, parent]].float().mean()) == pytest.approx(0.6, abs=0.05)


def test_it_is_a_source_whose_batches_the_seed_decides():
    planted = Planted(CONFIG)
    assert isinstance(planted, Shuffles)
    one, other = planted.shuffled(5), planted.shuffled(5)
    assert isinstance(one, BatchSource)
    first = one.batch(8, [SITE])[SITE]
    assert torch.equal(first, other.batch(8, [SITE])[SITE])
    assert not torch.equal(first, planted.shuffled(6).batch(8, [SITE])[SITE])
    state = one.state()
    second = one.batch(8, [SITE])[SITE]
    other.restore(state)
    assert torch.equal(second, other.batch(8, [SITE])[SITE])
    assert one.mean_squared_norms[SITE] == pytest.approx(float(sample(CONFIG)[0].square().sum(1).mean()), rel=0.05)
    assert one.card["planted"]["features"] == 60
    with pytest.raises(SiteNotFound, match=r"resid\.0"):
        planted.shuffled(0, ["resid.3"])


@pytest.mark.parametrize(
    "changed, found",
    [
        ({"correlation": 1.5}, "correlation=1.5"),
        ({"children": 6}, "60 features with 6 children each"),
        ({"active": 31.0}, "active=31 of 60"),
        ({"d": 0}, "d=0"),
    ],
)
def test_what_cannot_be_planted_is_refused(changed, found):
    with pytest.raises(WrongUse, match="plant features") as error:
        replace(CONFIG, **changed)
    assert found in error.value.found


# --- scores


def test_the_truth_scores_full_marks_and_random_directions_do_not():
    config = PlantedConfig(d=64, features=48, active=3.0, tail=0.0)
    planted = Planted(config)
    truth = planted.truth
    own = recovery(of_directions(SITE, truth.directions, 6, mean=truth.mean), planted, tokens=4096)
    assert own.matched_cosine == pytest.approx(1.0, abs=1e-5)
    assert (own.recovered_fraction, own.false_units, own.split_fraction, own.absorbed) == (1.0, 0.0, 0.0, None)
    drawn = torch.nn.functional.normalize(torch.randn(48, 64, generator=torch.Generator().manual_seed(9)), dim=1)
    null = recovery(of_directions(SITE, drawn, 6, mean=truth.mean), planted, tokens=4096)
    assert null.recovered_fraction == 0.0
    assert null.false_units == 1.0
    assert null.matched_cosine < 0.4
    assert null.variance_explained < own.variance_explained


def test_a_trained_dictionary_recovers_planted_features_and_a_seed_changes_little():
    planted = Planted(PlantedConfig(d=32, features=64, active=3.0, tail=0.3))
    made = train(planted, site=SITE, units=64, k=4, tokens=400_000, batch=1024, lr=3e-3, doctor={"dead_units": "off"})
    found = recovery(made, planted, tokens=4096)
    assert found.recovered_fraction > 0.8
    assert found.variance_explained > 0.8
    assert 3.5 < found.l0 <= 4.0


def test_a_signed_unit_lies_along_what_it_writes_more_of():
    planted = Planted(PlantedConfig(d=64, features=48, active=3.0, tail=0.0))
    truth = planted.truth
    turned = of_directions(SITE, -truth.directions, 6, mean=truth.mean)
    assert recovery(turned, planted, tokens=2048).recovered_fraction == 1.0


def test_families_are_scored_where_there_are_some():
    config = PlantedConfig(d=64, features=32, active=2.0, tail=0.0, children=1, covered=0.5)
    planted = Planted(config)
    truth = planted.truth
    own = recovery(of_directions(SITE, truth.directions, mean=truth.mean), planted, tokens=2048)
    assert (own.absorbed, own.absorbed_by_chance, own.parents_split) == (0.0, 0.0, 0.0)
    drawn = torch.nn.functional.normalize(torch.randn(32, 64, generator=torch.Generator().manual_seed(9)), dim=1)
    null = recovery(of_directions(SITE, drawn, 3, mean=truth.mean), planted, tokens=2048)
    assert (null.absorbed, null.parents_split) == (None, 0.0)  # nothing speaks for parents, nor for their children


def test_a_dictionary_of_another_site_cannot_be_scored():
    planted = Planted(CONFIG)
    with pytest.raises(WrongUse, match="planted features"):
        recovery(of_directions("resid.3", planted.truth.directions, 4), planted)
