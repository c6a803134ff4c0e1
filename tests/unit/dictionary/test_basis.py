"""A dictionary as a basis: what its units read and wrote on a prompt adds up, also where several are one."""

import pytest
import torch

from microtome.core.errors import NotSupported, SiteNotFound, WrongUse
from microtome.dictionary.architecture import ARCHITECTURES
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.basis import layers_of
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.geometry import cross_layer, sae, transcoder
from microtome.dictionary.starting import untrained
from microtome.dictionary.together import together

D, E, UNITS, P = 8, 9, 32, 10


def made(layer=0, architecture=None, seed=0, geometry=None, **conventions) -> Dictionary:
    geometry = geometry or transcoder(f"mlp.in.{layer}", f"mlp.out.{layer}", D, E, UNITS)
    settings = Conventions(geometry.autoencodes, **conventions)
    dictionary = untrained(geometry, architecture or TopK(6), settings, seed=seed, length=0.7).double()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in dictionary.parameters():
            if parameter.ndim:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return dictionary


def inputs(width, seed=5):
    return 1.0 + torch.randn(P, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", [entry.name for entry in ARCHITECTURES])
@pytest.mark.parametrize("normalised", ["no", "layer", "length"])
@pytest.mark.parametrize("skip", [False, True], ids=["", "skip"])
def test_what_units_read_and_wrote_adds_up(name, normalised, skip):
    dictionary = made(architecture=ARCHITECTURES.get(name).tiny(), normalised=normalised, skip=skip)
    x, y = inputs(D), inputs(E, seed=6)
    found = dictionary.at(0, x, y)
    codes = dictionary.encode(x)
    assert torch.equal(found.ids, codes.ids)
    assert torch.equal(found.positions, codes.picks.rows)
    torch.testing.assert_close(found.values, codes.values)
    torch.testing.assert_close((found.read * x[found.positions]).sum(1) + found.constant, found.values)
    wrote = found.bias.index_add(0, found.positions, found.values[:, None] * found.write)
    if found.skip is not None:
        wrote = wrote + x @ found.skip.T
    torch.testing.assert_close(wrote + found.error, y)
    torch.testing.assert_close(found.error, y - dictionary.reconstruct(x))
    assert (found.skip is not None) == skip
    assert found.error.abs().max() > 0.1


def test_each_layer_has_its_own_block():
    layers = [made(layer, seed=layer) for layer in range(3)]
    whole = together(layers)
    x, y = inputs(D), inputs(E, seed=6)
    for layer, one in enumerate(layers):
        own, found = one.at(layer, x, y), whole.at(layer, x, y)
        for name in ("ids", "positions", "values", "read", "constant", "write", "bias", "error"):
            assert torch.equal(getattr(found, name), getattr(own, name)), name
        assert found.lines.first == layer * UNITS


def test_each_layer_has_its_own_skip():
    layers = [made(layer, seed=layer, skip=True) for layer in range(3)]
    whole = together(layers)
    x, y = inputs(D), inputs(E, seed=6)
    for layer, one in enumerate(layers):
        assert torch.equal(whole.at(layer, x, y).skip, one.W_skip)
        torch.testing.assert_close(whole.at(layer, x, y).error, one.at(layer, x, y).error)


def test_layers_are_those_of_its_sites():
    assert layers_of(made(4)) == (4,)
    assert layers_of(together([made(layer) for layer in (2, 0)])) == (0, 2)
    for other in (made(geometry=sae("resid.0", D, UNITS)), NO_BASIS["a clt"][0]):
        with pytest.raises(NotSupported, match=r"give transcoders, whose units read mlp.in"):
            layers_of(other)


NO_BASIS = {
    "another layer": (made(), 1, SiteNotFound, "0 blocks of units from mlp.in.1 to mlp.out.1"),
    "an sae": (made(geometry=sae("resid.0", D, UNITS)), 0, SiteNotFound, "0 blocks of units"),
    "one that writes elsewhere": (
        made(geometry=transcoder("mlp.in.0", "resid.1", D, E, UNITS)), 0, NotSupported, "and write resid.1",
    ),
    "a clt": (
        made(geometry=cross_layer(("mlp.in.0", "mlp.in.1"), ("mlp.out.0", "mlp.out.1"), D, E, UNITS)),
        0, NotSupported, "units that read mlp.in.0 and write mlp.out.0, mlp.out.1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_BASIS)
def test_what_is_no_basis_is_said(case):
    dictionary, layer, error, found = NO_BASIS[case]
    with pytest.raises(error) as raised:
        dictionary.at(layer, inputs(D), inputs(E))
    assert found in raised.value.found


def test_an_mlp_of_another_width_is_said():
    with pytest.raises(WrongUse, match="an MLP from 9 to 9 numbers"):
        made().at(0, inputs(E), inputs(E))
