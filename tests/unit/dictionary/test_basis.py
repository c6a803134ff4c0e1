"""A dictionary on a prompt: what its units read and wrote adds up at every site, also where several are one."""

import pytest
import torch

from microtome.core.errors import NotSupported, SiteNotFound, WrongUse
from microtome.dictionary.architecture import ARCHITECTURES
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.basis import on_prompt
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.geometry import Block, Geometry, cross_layer, sae, transcoder
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


def tokens(width, seed=5):
    return 1.0 + torch.randn(P, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sites(names, width, seed):
    return {name: tokens(width, seed + i) for i, name in enumerate(names)}


GEOMETRIES = {
    "sae": sae("resid.0", D, UNITS),
    "transcoder": transcoder("mlp.in.0", "mlp.out.0", D, E, UNITS),
    "several sites": Geometry(
        ("resid.0", "mlp.in.0"), ("attn.out.1", "mlp.out.1"), D, E, (Block((0, 1), (0, 1), UNITS),)
    ),
    "clt": cross_layer(("mlp.in.0", "mlp.in.1"), ("mlp.out.0", "mlp.out.1"), D, E, UNITS),
}


@pytest.mark.parametrize("name", [entry.name for entry in ARCHITECTURES])
@pytest.mark.parametrize("normalised", ["no", "layer", "length"])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_what_units_read_and_wrote_adds_up(geometry, name, normalised):
    dictionary = made(
        geometry=GEOMETRIES[geometry], architecture=ARCHITECTURES.get(name).tiny(), normalised=normalised,
        skip=geometry in ("transcoder", "clt"),
    )  # fmt: skip
    x, y = sites(dictionary.reads, D, 5), sites(dictionary.writes, dictionary.geometry.d_out, 50)
    if dictionary.geometry.autoencodes:
        y = x
    codes = dictionary.encode(torch.stack(list(x.values()), 1) if len(x) > 1 else x[dictionary.reads[0]])
    written = {site: torch.zeros_like(one) for site, one in y.items()}
    for number in range(len(dictionary.geometry.blocks)):
        found = dictionary.at(number, x, y)
        ids = found.ids + found.lines.first
        mine = codes.where((codes.ids >= ids.min()) & (codes.ids < found.lines.first + UNITS))
        assert torch.equal(ids, mine.ids)
        assert torch.equal(found.positions, mine.picks.rows)
        torch.testing.assert_close(found.values, mine.values)
        read = sum((found.read(site) * x[site][found.positions]).sum(1) for site in found.lines.given)
        torch.testing.assert_close(read + found.constant, found.values)
        for site in found.lines.returned:
            written[site].index_add_(0, found.positions, found.values[:, None] * found.write(site))
    blocks, beside = on_prompt(dictionary, x, y, range(len(dictionary.geometry.blocks)))
    remade = dictionary.reconstruct(torch.stack(list(x.values()), 1) if len(x) > 1 else x[dictionary.reads[0]])
    for i, site in enumerate(dictionary.writes):
        through = 0 if beside[site].skip is None else x[dictionary.reads[i]] @ beside[site].skip.T
        torch.testing.assert_close(written[site] + beside[site].bias + through + beside[site].error, y[site])
        torch.testing.assert_close(y[site] - beside[site].error, remade if remade.ndim == 2 else remade[:, i])
        assert beside[site].error.abs().max() > 0.1
    assert len(blocks) == len(dictionary.geometry.blocks)


def test_each_layer_has_its_own_block_and_skip():
    layers = [made(layer, seed=layer, skip=True) for layer in range(3)]
    whole = together(layers)
    x, y = sites(whole.reads, D, 5), sites(whole.writes, E, 50)
    for layer, one in enumerate(layers):
        site, read = f"mlp.out.{layer}", f"mlp.in.{layer}"
        own, found = one.at(0, x, y), whole.at(layer, x, y)
        assert found.lines.first == layer * UNITS
        assert torch.equal(found.ids, own.ids)
        assert torch.equal(found.values, own.values)
        torch.testing.assert_close(found.read(read), own.read(read))
        torch.testing.assert_close(found.write(site), own.write(site))
        torch.testing.assert_close(found.errors[site], own.errors[site])


def test_what_is_no_basis_is_said():
    x, y = {"mlp.in.0": tokens(D)}, {"mlp.out.0": tokens(E)}
    with pytest.raises(SiteNotFound, match="blocks 0 to 0"):
        made().at(1, x, y)
    with pytest.raises(WrongUse, match="9 numbers a token, where its units read 8"):
        made().at(0, {"mlp.in.0": tokens(E)}, y)
    with pytest.raises(WrongUse, match="8 numbers a token, where its units write 9"):
        made().at(0, x, {"mlp.out.0": tokens(D)})
    crossing = made(geometry=GEOMETRIES["several sites"], skip=True)
    with pytest.raises(NotSupported, match="one skip between several sites"):
        crossing.at(0, sites(crossing.reads, D, 5), sites(crossing.writes, E, 50))
