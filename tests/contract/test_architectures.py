"""What every architecture promises, on every geometry: SAE, transcoder, skip transcoder, crosscoder, CLT, a set.

Gradients of the sparse step are held to a dense loss, written here without any of the sparse products and
differentiated by autograd. Inputs have a mean far from zero, so that a bias that is forgotten shows.
"""

from dataclasses import replace

import pytest
import torch
from dense_reference import dense_outcome

from microtome.core.errors import WrongUse
from microtome.dictionary.architecture import ARCHITECTURES, Moment
from microtome.dictionary.codes import Codes
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.folding import for_raw_inputs, of_unit_length
from microtome.dictionary.geometry import cross_layer, crosscoder, layer_by_layer, sae, transcoder
from microtome.dictionary.saving import load, save
from microtome.dictionary.starting import untrained

UNITS, D = 32, 8
GEOMETRIES = {
    "sae": sae("resid.0", D, UNITS),
    "transcoder": transcoder("mlp.in.0", "mlp.out.0", D, D + 1, UNITS),
    "skip transcoder": transcoder("mlp.in.0", "mlp.out.0", D, D + 1, UNITS),
    "crosscoder": crosscoder(("resid.0", "resid.1"), D, UNITS),
    "clt": cross_layer(("mlp.in.0", "mlp.in.1"), ("mlp.out.0", "mlp.out.1"), D, D, UNITS),
    "skip set": layer_by_layer(("mlp.in.0", "mlp.in.1"), ("mlp.out.0", "mlp.out.1"), D, D + 1, UNITS),
}


@pytest.fixture(params=[entry.name for entry in ARCHITECTURES])
def architecture(request):
    return ARCHITECTURES.get(request.param).tiny()


@pytest.fixture(params=GEOMETRIES)
def dictionary(request, architecture) -> Dictionary:
    geometry = GEOMETRIES[request.param]
    conventions = Conventions(geometry.autoencodes, "no", skip="skip" in request.param)
    made = untrained(geometry, architecture, conventions, seed=0, length=0.7).double()
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim:  # nothing at a value where mistakes cancel, no unit of the same length as another
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=random, dtype=torch.float64))
    return made


def batch(dictionary: Dictionary, n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(2)
    geometry = dictionary.geometry
    x = 1.0 + torch.randn(n, len(geometry.reads), geometry.d_in, generator=random, dtype=torch.float64)
    y = 2.0 + torch.randn(n, len(geometry.writes), geometry.d_out, generator=random, dtype=torch.float64)
    return x, (x if geometry.autoencodes else y)


def moment(dictionary: Dictionary) -> Moment:
    """A third of the units are dead."""
    return Moment(0.7, tuple(torch.arange(units.block.units) % 3 == 0 for units in dictionary.units))


def test_gradients_are_those_of_the_dense_loss(dictionary):
    x, y = batch(dictionary)
    ours = dictionary.architecture.outcome(dictionary, x, y, moment(dictionary))
    ours.loss.backward()
    found = {name: p.grad for name, p in dictionary.named_parameters() if p.requires_grad}
    dictionary.zero_grad()
    terms, y_hat = dense_outcome(dictionary, x, y, moment(dictionary))
    sum(terms.values()).backward()
    assert terms.keys() == ours.terms.keys()
    for name, term in terms.items():
        torch.testing.assert_close(ours.terms[name], term, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(ours.y_hat, y_hat, rtol=1e-10, atol=1e-12)
    for name, p in dictionary.named_parameters():
        if p.requires_grad:
            assert p.grad is not None, name
            assert found[name] is not None, name
            scale = p.grad.abs().max()
            assert scale > 0, f"{name} does not matter"
            assert (found[name] - p.grad).abs().max() <= 1e-9 * scale, name


def test_a_token_does_not_change_its_neighbours(dictionary):
    x, y = batch(dictionary)
    dictionary.architecture.settle(dictionary.architecture.outcome(dictionary, x, y, moment(dictionary)))
    for name, threshold in dictionary.named_parameters():
        if name.endswith("threshold") and not threshold.ndim:
            threshold.detach().mul_(0.99)  # off the very activation that it was set to
    given = x.squeeze(1)
    together = dictionary.encode(given).dense()
    alone = torch.stack([dictionary.encode(token).dense() for token in given])
    torch.testing.assert_close(together, alone)


def test_codes_have_their_sign_and_know_their_batch(dictionary):
    x = batch(dictionary)[0].squeeze(1)
    codes = dictionary.encode(x.view(4, 10, *x.shape[1:]))
    assert codes.shape == (4, 10)
    assert codes.n_units == dictionary.n_units
    assert (codes.values != 0).all()
    assert (codes.values > 0).any()
    assert bool((codes.values < 0).any()) == dictionary.architecture.signed
    again = Codes.of(codes.dense())
    assert torch.equal(again.ids, codes.picks.ids[codes_order(codes)])
    assert dictionary.reconstruct(x.view(4, 10, *x.shape[1:])).shape[:2] == (4, 10)


def codes_order(codes: Codes) -> torch.Tensor:
    return (codes.picks.rows * codes.n_units + codes.ids).argsort()


def test_decoding_is_affine(dictionary):
    x = batch(dictionary)[0].squeeze(1)
    codes = dictionary.encode(x)
    none = codes.where(torch.zeros_like(codes.ids, dtype=torch.bool))
    half = Codes(codes.ids, codes.values / 2, codes.offsets, codes.shape, codes.n_units)
    middle = (dictionary.decode(codes) + dictionary.decode(none)) / 2
    torch.testing.assert_close(dictionary.decode(half), middle)


def test_folding_lengths_changes_no_output(dictionary):
    x = batch(dictionary)[0].squeeze(1)
    folded = of_unit_length(dictionary)
    assert all(torch.allclose(units.norms, torch.ones_like(units.norms)) for units in folded.units)
    torch.testing.assert_close(folded.reconstruct(x), dictionary.reconstruct(x))
    assert torch.equal(folded.encode(x).ids, dictionary.encode(x).ids)


def test_folding_the_scale_of_inputs_changes_no_output(dictionary):
    x = batch(dictionary)[0]
    geometry = dictionary.geometry
    reads = [3.0 + i for i in range(len(geometry.reads))]
    writes = reads if geometry.autoencodes else [0.2 * (i + 1) for i in range(len(geometry.writes))]
    s_in, s_out = (torch.tensor(s, dtype=torch.float64)[:, None] for s in (reads, writes))
    expected = dictionary.reconstruct((x * s_in).squeeze(1)).view(len(x), len(writes), -1) / s_out
    folded = for_raw_inputs(dictionary, reads, writes)
    torch.testing.assert_close(folded.reconstruct(x.squeeze(1)), expected.squeeze(1))


def test_places_that_fire_are_those_of_the_codes(dictionary):
    x = batch(dictionary)[0]
    active = [dictionary.architecture.activate(*given) for given in dictionary.given(x)]
    assert sum(int(one.firing.sum()) for one in active) == len(dictionary.encode(x.squeeze(1)).ids)


def test_fixed_writes_stay_as_they_were_drawn(dictionary, tmp_path):
    """No gradient reaches them, while every other parameter gets its own; folded and saved, they are still fixed."""
    conventions = replace(dictionary.conventions, fixed_writes=True)
    fixed = Dictionary(dictionary.geometry, dictionary.architecture, conventions).double()
    fixed.load_state_dict(dictionary.state_dict())
    for made in (dictionary, fixed):
        made.architecture.outcome(made, *batch(made), moment(made)).loss.backward()
    for (name, free), held in zip(dictionary.named_parameters(), fixed.parameters(), strict=True):
        if name.endswith("W_dec"):
            assert held.grad is None
        elif free.requires_grad:
            torch.testing.assert_close(held.grad, free.grad)
    again = load(save(of_unit_length(fixed).float(), tmp_path / "dictionary"))
    assert again.conventions.fixed_writes
    assert not any(units.W_dec.requires_grad for units in again.units)
    assert all(units.W_enc.requires_grad for units in again.units)


def test_what_is_saved_comes_back(dictionary, tmp_path):
    x = batch(dictionary)[0].squeeze(1).float()
    again = load(save(dictionary.float(), tmp_path / "dictionary"))
    assert again.architecture == dictionary.architecture
    assert (again.geometry, again.conventions) == (dictionary.geometry, dictionary.conventions)
    assert torch.equal(again.reconstruct(x), dictionary.reconstruct(x))


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_no_rows_have_no_codes(dictionary, shape):
    given = batch(dictionary)[0].squeeze(1)[:1]
    none = given.new_zeros(*shape, *given.shape[1:])
    codes = dictionary.float().encode(none.float())
    assert (codes.shape, len(codes.ids)) == (shape, 0)
    assert codes.dense().shape == (*shape, dictionary.n_units)
    assert dictionary.reconstruct(none.float()).shape == (*shape, *dictionary.reconstruct(given.float()).shape[1:])
    assert dictionary.double().reconstruct(none).shape[: len(shape)] == shape


def test_rows_without_a_number_are_refused_by_name(dictionary):
    x = batch(dictionary)[0].squeeze(1)
    x[[3, 7], ..., 2] = torch.tensor([torch.nan, torch.inf], dtype=x.dtype).view(2, *[1] * (x.ndim - 2))
    for given, named in ((x, "3, 7"), (x.view(4, 10, *x.shape[1:]), "(0, 3), (0, 7)"), (x[3], "it")):
        with pytest.raises(WrongUse) as said:
            dictionary.reconstruct(given)
        assert said.value.what == f"encode with {dictionary}"
        rows = "it" if named == "it" else f"2 of 40 rows ({named})"
        assert said.value.found == f"NaN or infinite numbers in {rows}"
