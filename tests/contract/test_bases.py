"""Every basis on every family: each row sums to its value, wherever its units stand.

Dictionaries are random, so that each place keeps a large error and no sum comes out by accident. Three of them are
not: an orthogonal one of the stream, through which every path must pass unchanged; a cross-layer transcoder whose
units write to their own layer alone; and both halves of a transcoder's output in one unit that writes twice.
"""

from dataclasses import replace

import pytest
import torch

from microtome.circuit.attribution import RULES, half, integrated, scored, through_gates
from microtome.circuit.bases.heads import HEADS
from microtome.circuit.basis import Basis
from microtome.circuit.change import change
from microtome.circuit.edges import carried_down, carried_up, direct_edges, from_units, read_vectors
from microtome.circuit.faithfulness import patched, score_prompt
from microtome.circuit.loadings import head_loadings
from microtome.circuit.naming import basis_of
from microtome.circuit.nodesets import rankings
from microtome.circuit.operator import LinearOperator
from microtome.circuit.places import Place
from microtome.circuit.question import ask
from microtome.circuit.target import TokenTarget
from microtome.circuit.trace import choose, trace
from microtome.circuit.traced import TraceConfig
from microtome.dictionary.architecture import ARCHITECTURES
from microtome.dictionary.architectures.relu import ReLU
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.geometry import Block, Geometry, cross_layer, layer_by_layer, sae, transcoder
from microtome.dictionary.starting import untrained
from tiny_models import FAMILIES, RELATIVES

CLEAN, OTHER = [1, 7, 30, 12, 55, 8, 41], [1, 7, 30, 80, 55, 8, 41]
TARGET = TokenTarget((5, 8), ("a", "b"), (6,), ("c",))
UNITS = 32
ALL = TraceConfig(node_share=1.0, edge_share=1.0)


def made(geometry, architecture=None, **conventions) -> Dictionary:
    settings = Conventions(centred=geometry.autoencodes, **conventions)
    dictionary = untrained(geometry, architecture or TopK(6), settings, seed=0, length=0.7).double()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in dictionary.parameters():
            if parameter.ndim:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return dictionary.requires_grad_(False)


def ends(*layers):
    return tuple(f"mlp.in.{i}" for i in layers), tuple(f"mlp.out.{i}" for i in layers)


def at(site):
    return lambda d, heads: made(sae(site, heads if site.startswith("attn.heads") else d, UNITS))


BASES = {
    "neurons": lambda d, heads: "neurons",
    "heads": lambda d, heads: "heads",
    "stream": at("resid.1"),
    "start of the stream": at("embed"),
    "end of the stream": at("resid.final"),
    "middle of the stream": at("resid_mid.1"),
    "attention": at("attn.out.1"),
    "mlp": at("mlp.out.1"),
    "sae of heads": at("attn.heads.1"),
    "transcoders": lambda d, heads: made(layer_by_layer(*ends(0, 2), d, d, UNITS)),
    "skip": lambda d, heads: made(layer_by_layer(*ends(0, 1, 2), d, d, UNITS), skip=True),
    "clt": lambda d, heads: made(cross_layer(*ends(0, 1, 2), d, d, UNITS)),
    "clt of some layers": lambda d, heads: made(cross_layer(*ends(0, 2), d, d, UNITS), skip=True),
    "several reads": lambda d, heads: made(
        Geometry(("resid.0", "mlp.in.1"), ("attn.out.2", "mlp.out.2"), d, d, (Block((0, 1), (0, 1), UNITS),))
    ),
    "attention transcoder": lambda d, heads: made(transcoder("attn.in.1", "attn.out.1", d, d, UNITS)),
    "of normal tokens": lambda d, heads: made(sae("resid.2", d, UNITS), normalised="layer"),
    "mixed": lambda d, heads: [
        made(sae("resid.1", d, UNITS)), made(sae("attn.out.1", d, UNITS)), made(sae("mlp.out.0", d, UNITS)),
        made(layer_by_layer(*ends(2), d, d, UNITS), skip=True),
    ],
    "heads and stream": lambda d, heads: ["heads", made(sae("resid.2", d, UNITS))],
}  # fmt: skip


def asked(model, name):
    """The question in a basis; a family without a place between its branches has none there."""
    if "middle" in name and model.anatomy.parallel:
        pytest.skip("branches side by side: there is no stream between them")
    sizes = model.anatomy.layers[0].sizes
    return ask(model, CLEAN, OTHER, TARGET, basis_of(model, BASES[name](sizes.d, sizes.h * sizes.c)))


def matrix_of(question, against=True, n=25):
    flow = change(question.clean, question.other if against else None, TARGET)
    chosen = choose(scored(question, half(question)).units * flow.differs, n)
    return flow, chosen, direct_edges(question.clean, flow, TARGET, chosen)


FEW = ("neurons", "heads", "mixed")
CASES = [(family, basis) for family in sorted(FAMILIES) for basis in (FEW if family in RELATIVES else BASES)]


@pytest.mark.parametrize("family, basis", CASES)
def test_rows_sum_to_their_values(tiny, family, basis):
    question = asked(tiny(family), basis)
    for against in (False, True):
        flow, _, matrix = matrix_of(question, against)
        assert matrix.imbalance().max() < 1e-11
        assert float(matrix.value[-1]) == pytest.approx(flow.target, abs=1e-12)
        assert len(flow.errors) == len(question.clean.errors)
        assert matrix.remainder.abs().max() > 1e-6
        for place in flow.errors:  # what a place keeps from its units is far from nothing, and is carried
            assert flow.errors[place].abs().max() > 1e-3


def at_nodes(blocks, chosen):
    rows = zip(chosen.blocks.tolist(), chosen.positions.tolist(), chosen.units.tolist(), strict=True)
    return torch.stack([blocks[k][p, u] for k, p, u in rows])


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("family", ["gemma2", "gpt_neox", "llama"])
def test_down_is_the_transpose_of_up_and_the_slope_of_the_target(tiny, family, basis):
    question = asked(tiny(family), basis)
    clean = question.clean
    flow, chosen, _ = matrix_of(question, against=False)
    operator, readers, sources = (
        LinearOperator(clean),
        read_vectors(clean, TARGET, chosen),
        from_units(clean, flow, chosen),
    )
    up, down = (carried(operator, readers, sources) for carried in (carried_up, carried_down))
    torch.testing.assert_close(up, down, rtol=0, atol=1e-12)
    if not any(one.skip for one in clean.written.values()):  # a skip carries on what a head brought
        apart = readers.owner_positions()[:, None] != sources.owner_positions()
        rows, columns = torch.unravel_index((up.abs() * apart).flatten().topk(100).indices, up.shape)
        loadings = head_loadings(operator, readers, sources.take(columns), rows).sum((1, 2))
        between_positions = up[rows, columns] * apart[rows, columns]
        torch.testing.assert_close(loadings * apart[rows, columns], between_positions, rtol=0, atol=1e-10)
    gradients = through_gates(clean, TARGET)
    # Summed over all paths among units, effects on the target are what one sweep downwards gives.
    every = choose(torch.ones_like(clean.values) * flow.differs, 10**6)
    whole = direct_edges(clean, flow, TARGET, every).units
    values = torch.stack(
        [flow.units[int(k)][p, u] for k, p, u in zip(every.blocks, every.positions, every.units, strict=True)]
    )
    slopes = whole / values
    effect = torch.zeros(len(every), dtype=torch.float64)
    for i in reversed(range(len(every))):
        effect[i] = slopes[-1, i] + slopes[:-1, i] @ effect
    torch.testing.assert_close(effect, at_nodes(gradients.units, every), rtol=1e-7, atol=1e-10)


def orthogonal(d, site):
    """An exact SAE: every coordinate of a turned basis is a unit of both signs."""
    turn = torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    dictionary = Dictionary(sae(site, d, 2 * d), ReLU(), Conventions(centred=False)).double().requires_grad_(False)
    (units,) = dictionary.units
    units.W_enc.copy_(torch.cat([turn, -turn]))
    units.W_dec.copy_(torch.cat([turn, -turn]))
    return dictionary


@pytest.mark.parametrize("family", ["gpt_neox", "llama"])
def test_an_exact_sae_of_the_stream_leaves_every_path_intact(tiny, family):
    """What neurons below do to neurons above, summed over the SAE's units between them, is what they do without it."""
    model = tiny(family)
    exact = basis_of(model, orthogonal(24, "resid.1"))
    plain, cut = (ask(model, CLEAN, OTHER, TARGET, one) for one in (Basis("neurons"), exact))
    assert max(error.abs().max() for error in cut.clean.errors.values()) < 1e-12
    direct, through = (through_gates(one.clean, TARGET) for one in (plain, cut))
    torch.testing.assert_close(through.embed, direct.embed, rtol=0, atol=1e-12)
    of_neurons = [i for i, block in enumerate(cut.clean.blocks) if block.name.startswith("mlp")]
    for ours, theirs in zip(of_neurons, direct.units, strict=True):
        torch.testing.assert_close(through.units[ours], theirs, rtol=0, atol=1e-12)
    where = torch.zeros((1, *cut.clean.values.shape), dtype=torch.bool)
    torch.testing.assert_close(patched(cut, where), patched(plain, where[:, :3]), rtol=0, atol=1e-12)


def own_layer(d):
    """A cross-layer transcoder whose units write to their own layer alone, and the transcoders that it is."""
    clt, plain = made(cross_layer(*ends(0, 1, 2), d, d, UNITS)), made(layer_by_layer(*ends(0, 1, 2), d, d, UNITS))
    for ours, theirs in zip(clt.units, plain.units, strict=True):
        theirs.W_enc.copy_(ours.W_enc)
        theirs.b_enc.copy_(ours.b_enc)
        ours.W_dec[:, d:] = 0
        theirs.W_dec.copy_(ours.W_dec[:, :d])
    plain.b_dec.copy_(clt.b_dec)
    return clt, plain


@pytest.mark.parametrize("rule", [entry.name for entry in RULES])
def test_a_clt_of_own_layers_gives_the_graph_of_the_transcoders(tiny, rule):
    model = tiny("llama")
    config = replace(ALL, rule=rule)
    ours, theirs = (trace(model, CLEAN, OTHER, (5, 8), 6, one, 60, config=config) for one in own_layer(24))
    assert [node.id for node in ours.nodes] == [node.id for node in theirs.nodes]
    assert ours.blocks == theirs.blocks
    assert [row[:3] for row in ours.ranking] == [row[:3] for row in theirs.ranking]
    for one, other in zip(ours.edges, theirs.edges, strict=True):
        assert (one.source, one.target) == (other.source, other.target)
        assert one.weight == pytest.approx(other.weight, abs=1e-12)


def test_a_unit_that_writes_twice_is_one_node(tiny):
    """Its edge is the sum of what it does at either place, and its effect on the target that of both."""
    model = tiny("llama")
    both = basis_of(model, made(cross_layer(*ends(1, 2), 24, 24, UNITS), ARCHITECTURES.get("relu").tiny()))
    question = ask(model, CLEAN, OTHER, TARGET, both)
    flow, chosen, matrix = matrix_of(question)
    first = question.clean.blocks[1]
    assert first.writes == (Place(1, "mlp.out"), Place(2, "mlp.out"))
    sources, readers = from_units(question.clean, flow, chosen), read_vectors(question.clean, TARGET, chosen)
    assert len(sources) > sources.n
    later = sources.stops == sources.stops.max()
    parts = [replace(sources, vectors=sources.vectors * mask[:, None]) for mask in (later, ~later)]
    split = [carried_down(LinearOperator(question.clean), readers, part) for part in parts]
    torch.testing.assert_close(sum(split), matrix.units, rtol=0, atol=1e-12)
    assert all(part[-1].abs().max() > 1e-6 for part in split)


def test_units_of_heads_are_heads_coordinate_by_coordinate(tiny):
    model = tiny("llama")
    question = ask(model, CLEAN, OTHER, TARGET, HEADS)
    run = model.run(CLEAN, ["attn.heads.*"])
    for block in question.clean.blocks:
        if block.name.startswith("attn.heads"):
            assert torch.equal(block.values, run[block.name][0].flatten(1))
    assert {block.name for block in question.clean.blocks} == {
        f"{k}.{i}" for k in ("attn.heads", "mlp.neurons") for i in range(3)
    }


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("family", ["gemma2", "gpt2"])
def test_all_units_keep_everything_and_none_keep_nothing(tiny, family, basis):
    """In the live network: a set of all units is the clean pass, of none the pass with every unit exchanged."""
    question = asked(tiny(family), basis)
    clean, other = question.clean.values, question.other.values
    differs = clean != other
    ranked = rankings(clean - other, (clean - other).abs(), differs, 2, 0)
    scores = score_prompt(question, ranked, (int(differs.sum()),))
    assert scores.kept[0, 0] == pytest.approx(scores.clean, abs=1e-12)
    assert scores.removed[0, 0] == pytest.approx(scores.empty, abs=1e-12)
    assert abs(scores.span) > 1e-3


@pytest.mark.parametrize("basis", BASES)
def test_a_score_is_the_slope_of_what_an_edit_does(tiny, basis):
    """Of a live edit of one unit, where the path of integrated gradients is a point: the clean prompt."""
    question = asked(tiny("gpt2"), basis)
    nearly = question.clean.frozen.embed + 1e-12  # an edit that changes nothing is none
    gradients = integrated(replace(question, baseline=replace(question.baseline, embed=nearly)), 1)
    where = torch.zeros((1, *question.clean.values.shape), dtype=torch.bool)
    checked = 0
    for index, block in enumerate(question.clean.blocks):
        position = len(CLEAN) - 1
        for column in block.values[position].nonzero()[:2, 0].tolist():
            one = where.clone()
            one[0, index, position, column] = True
            sides = []
            for by in (1e-5, -1e-5):
                moved = question.baseline.units.clone()
                moved[index, position, column] = block.values[position, column] + by
                there = replace(question, baseline=replace(question.baseline, units=moved))
                sides.append(float(patched(there, one)[0]))
            slope = (sides[0] - sides[1]) / 2e-5
            assert float(gradients.units[index][position, column]) == pytest.approx(slope, rel=1e-5, abs=1e-8)
            checked += 1
    assert checked >= 4
