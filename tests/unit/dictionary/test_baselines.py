"""Baselines: every entry of the registry, and what each is known to do."""

import pytest
import torch

from microtome.core.errors import UnknownName, WrongUse
from microtome.dictionary.architectures.linear import Linear
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.baseline import BASELINES, baseline, beside
from microtome.dictionary.geometry import sae, transcoder
from microtome.dictionary.saving import load, save
from microtome.dictionary.starting import untrained

D, UNITS, K = 12, 30, 4
SITE = sae("resid.1", D, UNITS)


@pytest.fixture(scope="module")
def x():
    """Correlated axes and a mean far from zero."""
    draw = torch.Generator().manual_seed(0)
    return 3.0 + torch.randn(200, D, generator=draw) @ torch.randn(D, D, generator=draw)


def of(name, x, /, **wanted):
    return baseline(name, SITE, **{"k": K, "x": x, "vector": torch.arange(D) - 5.0, "seed": 3, **wanted})


def unexplained(made, x):
    return float((made.reconstruct(x) - x).square().sum() / (x - x.mean(0)).square().sum())


@pytest.mark.parametrize("name", [entry.name for entry in BASELINES])
def test_every_baseline_is_a_dictionary_with_a_card(name, x, tmp_path):
    made = of(name, x)
    assert made.reads == made.writes == ("resid.1",)
    assert made.n_units <= UNITS
    assert (made.card.config["baseline"], made.card.seed) == (name, 3)
    codes = made.encode(x)
    assert int(codes.picks.counts.max()) <= K
    assert len(codes.ids) > 0
    again = load(save(made, tmp_path / "made"))
    assert again.card.config == made.card.config
    assert torch.equal(again.reconstruct(x), made.reconstruct(x))
    assert torch.equal(of(name, x).reconstruct(x), made.reconstruct(x))


@pytest.mark.parametrize("name", ["neurons", "pca", "random", "probe"])
def test_directions_belong_to_one_site(name, x):
    with pytest.raises(WrongUse) as error:
        baseline(name, transcoder("mlp.in.0", "mlp.out.0", D, D, UNITS), k=K, x=x)
    assert error.value.found == "units that read mlp.in.0 and write mlp.out.0"


LACKING = {
    "pca without activations": ("pca", {"x": None}, "no activations"),
    "pca of another width": ("pca", {"x": torch.ones(5, D + 1)}, "activations of shape [5, 13]"),
    "random of one token": ("random", {"x": torch.ones(1, D)}, "activations of shape [1, 12]"),
    "probe without a vector": ("probe", {"vector": None}, "no vector"),
    "probe of zeros": ("probe", {"vector": torch.zeros(D)}, "a vector of 12 numbers, 0 of them other than 0"),
    "frozen without sparsity": ("frozen-decoder", {"k": None}, "no sparsity to train it at"),
}


@pytest.mark.parametrize("case", LACKING)
def test_what_a_baseline_lacks_is_said(case, x):
    name, wanted, found = LACKING[case]
    with pytest.raises(WrongUse) as error:
        of(name, x, **wanted)
    assert error.value.found == found


def test_a_misspelt_baseline_is_told():
    with pytest.raises(UnknownName, match="'neurons'"):
        baseline("neuron", SITE)


@pytest.mark.parametrize("name", ["neurons", "pca"])
def test_all_axes_and_all_components_reconstruct_exactly(name, x):
    torch.testing.assert_close(of(name, x, k=None).reconstruct(x), x, rtol=0, atol=1e-4)


def test_neurons_keep_the_largest_of_either_sign(x):
    made, x = of("neurons", x), x - x.mean(0)
    for token, kept in zip(x, made.encode(x).dense(), strict=True):
        strongest = token.abs().topk(K).indices
        assert torch.equal(kept[strongest], token[strongest])
        assert int((kept != 0).sum()) == K
    assert (made.encode(x).values < 0).any()


def test_of_equal_readings_as_many_are_kept_as_asked_and_zeros_never():
    made = baseline("neurons", SITE, k=3)
    tied = torch.tensor([[2.0, -2.0] * (D // 2), [0.0] * (D - 1) + [-1.0]])
    codes = made.encode(tied)
    assert codes.picks.counts.tolist() == [3, 1]
    assert codes.values[:3].abs().tolist() == [2, 2, 2]
    assert (codes.ids[3], codes.values[3]) == (D - 1, -1)
    assert baseline("neurons", SITE).encode(tied).picks.counts.tolist() == [D, 1]


def test_components_leave_what_singular_values_say(x):
    """The share left by the first five: the squares of the other singular values, by another road."""
    made = baseline("pca", sae("resid.1", D, 5), x=x)
    s = torch.linalg.svdvals((x - x.mean(0)).double()).square()
    assert unexplained(made, x) == pytest.approx(float(s[5:].sum() / s.sum()), rel=1e-4)
    variances = made.encode(x).dense().square().sum(0)
    assert (variances.diff() < 0).all()
    assert made.n_units == 5
    assert of("pca", x[:4], k=None).n_units == 3


def test_components_do_not_depend_on_a_sign(x):
    vectors = of("pca", x).read_vectors(range(D))[:, 0]
    assert (vectors.gather(1, vectors.abs().argmax(1, keepdim=True)) > 0).all()


def test_random_directions_are_unit_vectors_scaled_to_reconstruct_best(x):
    made = of("random", x)
    vectors, mean = made.read_vectors(range(UNITS))[:, 0], made.b_dec[0].detach()
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(UNITS))
    assert not torch.equal(vectors, of("random", x, seed=4).read_vectors(range(UNITS))[:, 0])
    best = unexplained(made, x)
    assert best < 1
    for factor in (0.98, 1.02):
        assert ((made.reconstruct(x) - mean) * factor + mean - x).square().sum() > (
            made.reconstruct(x) - x
        ).square().sum()


def test_a_probe_says_what_it_reads_and_moving_it_moves_just_that(x):
    vector, bias = torch.arange(D) - 5.0, 7.0
    made = of("probe", x, bias=bias)
    said = made.encode(x).dense()
    torch.testing.assert_close(said[:, 0], x @ vector + bias)
    along = (x @ vector)[:, None] * vector / vector.square().sum()
    torch.testing.assert_close(made.reconstruct(x), along, rtol=1e-4, atol=1e-4)
    moved = x + 2.5 * made.write_vectors([0])[0, 0]
    torch.testing.assert_close(made.encode(moved).dense(), said + 2.5, rtol=0, atol=1e-3)


def test_a_frozen_decoder_stands_where_the_trained_one_does():
    trained = untrained(transcoder("mlp.in.0", "mlp.out.0", D, D + 1, UNITS), TopK(5, by_norm=False), seed=0)
    made = beside(trained, "frozen-decoder", seed=9)
    assert (made.geometry, made.architecture) == (trained.geometry, trained.architecture)
    assert made.conventions.fixed_writes
    assert not torch.equal(next(made.units).W_dec, next(trained.units).W_dec)
    assert [name for name, p in made.named_parameters() if not p.requires_grad] == ["blocks.0.W_dec"]


def test_a_baseline_beside_a_dictionary_uses_as_many_units(x):
    trained = untrained(SITE, TopK(K), seed=0)
    made = beside(trained, "random", k=K)
    assert isinstance(made.architecture, Linear)
    assert made.n_units == trained.n_units
    assert made.encode(x).picks.counts.tolist() == [K] * len(x)
