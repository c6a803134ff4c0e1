"""Modular addition: it adds on circles of a few frequencies, and those are what it adds by."""

from math import cos, pi

import pytest
import torch

import microtome as mt
from microtome.core.errors import WrongUse
from microtome.toy.algorithmic.addition import accuracy, answered, left_with, loaded
from microtome.toy.algorithmic.fourier import embedding_power, logit_power, purity, waves, within
from microtome.toy.algorithmic.modular import FIRST, ModularConfig, sums

MATTERS = 0.02  # of what logits vary by


@pytest.fixture(scope="module")
def made():
    return loaded()


@pytest.fixture(scope="module")
def model(made):
    return made.open()


@pytest.fixture(scope="module")
def run(made, model):
    return model.run(made.sums.ids.tolist(), ["logits", "mlp.neurons.0"])


@pytest.fixture(scope="module")
def shares(made, run):
    p = made.config.modulus
    return logit_power(run["logits"][:, -1, FIRST : FIRST + p].reshape(p, p, p))


@pytest.fixture(scope="module")
def key(shares):
    return {k for k, share in enumerate(shares.tolist(), 1) if share > MATTERS}


def test_it_knows_sums_that_it_has_not_seen(made, model):
    known = made.sums
    right = answered(model, known) == known.answers
    assert len(known.unseen) > 1000
    assert not set(known.seen.tolist()) & set(known.unseen.tolist())
    assert right[known.unseen].float().mean() > 0.99
    assert model.run("58 3 =")["logits"][0, -1].argmax() == FIRST + 2


def test_its_embeddings_and_logits_are_waves_of_the_same_few_frequencies(made, shares, key):
    p = made.config.modulus
    put = embedding_power(made.module.transformer.wte.weight[FIRST : FIRST + p])
    assert put.sum().item() == pytest.approx(1.0)
    assert len(key) <= 10
    assert sum(shares) > 0.9
    assert {k for k, share in enumerate(put.tolist(), 1) if share > 0.05} == key


def test_it_adds_by_these_waves_and_by_no_others(made, model, key):
    known, every = made.sums, set(range(1, made.config.modulus // 2 + 1))
    assert accuracy(model, known, left_with(made, key)) > 0.99
    assert accuracy(model, known, left_with(made, every - key)) < 0.1  # though most frequencies are left
    assert accuracy(model, known, mt.ablate("mlp.out.0")) < 0.1


def test_units_are_at_those_frequencies_or_at_twice_them(made, run, key):
    p = made.config.modulus
    share, at = purity(run["mlp.neurons.0"][:, -1].reshape(p, p, -1))
    doubled = {min(2 * k % p, -2 * k % p) for k in key}
    assert share.median() > 0.6
    assert set(at[share > 0.5].tolist()) <= key | doubled


def test_waves_are_orthonormal_and_split_a_table_exactly():
    some = waves(7).flatten(0, 1)
    assert torch.allclose(some @ some.T, torch.eye(6, dtype=torch.float64))
    table = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(within(table, {1, 2, 3}), table, atol=1e-6)
    assert torch.allclose(within(table, set()), table.mean(0).expand(7, 3), atol=1e-6)
    alone = within(table, {2}) + 5.0
    assert embedding_power(alone).tolist() == pytest.approx([0.0, 1.0, 0.0], abs=1e-9)


def test_powers_are_what_sums_over_all_places_give():
    p, random = 7, torch.Generator().manual_seed(1)
    logits = torch.randn(p, p, p, generator=random, dtype=torch.float64)
    varying = logits - logits.mean(2, keepdim=True)
    varying = varying - varying.mean((0, 1))
    for k, share in enumerate(logit_power(logits).tolist(), 1):
        wave = torch.tensor(
            [[[cos(2 * pi * k * (a + b - c) / p) for c in range(p)] for b in range(p)] for a in range(p)],
            dtype=torch.float64,
        )
        assert share == pytest.approx(
            ((wave * varying).sum() ** 2 / wave.square().sum() / varying.square().sum()).item()
        )
    numbers = torch.arange(p).double()
    unit = torch.cos(2 * pi * 2 * (numbers[:, None] + numbers) / p) + 0.5 * torch.sin(2 * pi * 2 * numbers / p) + 3.0
    share, at = purity(unit[..., None])
    assert share.item() == pytest.approx(1.0)
    assert at.item() == 2
    mixed, _ = purity((unit + torch.cos(2 * pi * 3 * numbers / p))[..., None])
    assert 0.4 < mixed.item() < 0.9


def test_pairs_change_one_number_and_with_it_the_sum(made, model):
    task = made.pairs(30, seed=2)
    assert task.rows[:7] == made.pairs(7, seed=2).rows
    for row in task.rows:
        clean, other = row.clean.split(), row.counterfactual.split()
        assert sum(a != b for a, b in zip(clean, other, strict=True)) == 1
        assert int(row.target) == (int(clean[0]) + int(clean[1])) % made.config.modulus != int(row.against)


def test_what_cannot_be_is_refused(made):
    with pytest.raises(WrongUse, match="modulus=8"):
        ModularConfig(modulus=8)
    with pytest.raises(WrongUse, match="n=0"):
        made.pairs(0)
    assert len(sums(ModularConfig(modulus=5)).ids) == 25
