"""Targets inside the model, on every kind of site: the sum test, the slope of a live pass, and the proof.

A target is a number of the live model; what a trace says of it has to be that number, its change to the
counterfactual, and its gradient.
"""

import pytest
import torch

from microtome.circuit.attribution import integrated, scored
from microtome.circuit.change import change
from microtome.circuit.edges import direct_edges
from microtome.circuit.graph import Graph
from microtome.circuit.naming import basis_of
from microtome.circuit.proving import prove
from microtome.circuit.question import ask
from microtome.circuit.site_target import target
from microtome.circuit.trace import choose, trace
from microtome.circuit.weighing import ProofConfig
from microtome.core.errors import NotSupported, SiteNotFound, WrongUse
from microtome.dictionary.architectures.relu import ReLU
from microtome.dictionary.dictionary import Conventions
from microtome.dictionary.geometry import layer_by_layer, sae, transcoder
from microtome.dictionary.starting import untrained

CLEAN, OTHER = [1, 7, 30, 12, 55, 8, 41], [1, 7, 30, 80, 55, 8, 41]
UNITS = 32
FAMILIES = ["gemma2", "gpt2", "gpt_neox"]


def made(geometry, **conventions):
    settings = Conventions(centred=geometry.autoencodes, **conventions)
    dictionary = untrained(geometry, ReLU(), settings, seed=0, length=0.7).double().requires_grad_(False)
    draw = torch.Generator().manual_seed(0)
    for parameter in dictionary.parameters():
        parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return dictionary


def direction(n):
    return torch.randn(n, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def active_unit(model, dictionary, position):
    run = model.run(CLEAN, list(dictionary.reads))
    codes = dictionary.coder.encode(
        range(dictionary.n_units), {site: run[site].flatten(2) for site in dictionary.reads}
    )
    return int(codes[0, position].argmax())


def of_dictionary(model, geometry, position=-1, **conventions):
    dictionary = made(geometry, **conventions)
    return target(dictionary, active_unit(model, dictionary, position), position=position)


TARGETS = {
    "neuron": lambda model, d, heads: target("mlp.neurons.2", 5),
    "neurons": lambda model, d, heads: target(
        "mlp.neurons.1", vector=direction(model.anatomy.layers[1].n_units), position=5
    ),
    **{
        site: lambda model, d, heads, site=site: target(site, vector=direction(d), position=5)
        for site in ("resid.1", "resid.final", "resid_mid.2", "attn.in.2", "attn.out.1", "mlp.in.2", "mlp.out.1")
    },
    "attn.heads.2": lambda model, d, heads: target("attn.heads.2", vector=direction(heads)),
    "coordinate": lambda model, d, heads: target("resid.2", 7),
    "sae": lambda model, d, heads: of_dictionary(model, sae("resid.2", d, UNITS)),
    "sae of attention": lambda model, d, heads: of_dictionary(model, sae("attn.out.2", d, UNITS), position=5),
    "transcoder": lambda model, d, heads: of_dictionary(model, transcoder("mlp.in.2", "mlp.out.2", d, d, UNITS)),
    "of normal tokens": lambda model, d, heads: of_dictionary(model, sae("resid.2", d, UNITS), normalised="layer"),
    "one of a set": lambda model, d, heads: of_dictionary(
        model, layer_by_layer(("mlp.in.1", "mlp.in.2"), ("mlp.out.1", "mlp.out.2"), d, d, UNITS)
    ),
}


def wanted(model, name):
    if name == "resid_mid.2" and model.anatomy.parallel:
        pytest.skip("branches side by side: there is no stream between them")
    sizes = model.anatomy.layers[0].sizes
    return TARGETS[name](model, sizes.d, sizes.h * sizes.c).fitted(model)


@pytest.mark.parametrize("basis", ["neurons", "heads", "an sae below", "an sae there"])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_row_of_the_target_sums_to_its_value(tiny, family, name, basis):
    model = tiny(family)
    asked, d = wanted(model, name), model.anatomy.sizes.d
    units = {"an sae below": made(sae("resid.1", d, UNITS)), "an sae there": made(sae("attn.out.1", d, UNITS))}
    question = ask(model, CLEAN, OTHER, asked, basis_of(model, units.get(basis, basis)))
    live = [float(asked.of(model.run(ids, asked.sites), model.anatomy)[0]) for ids in (CLEAN, OTHER)]
    for against in (False, True):
        flow = change(question.clean, question.other if against else None, asked)
        assert flow.target == pytest.approx(live[0] - live[1] * against, abs=1e-12)
        scores = scored(question, integrated(question, 2)).units * flow.differs
        chosen = choose(scores, 25)
        if not len(chosen):  # branches side by side: an early target has no unit below it
            assert family == "gpt_neox"
            continue
        matrix = direct_edges(question.clean, flow, asked, chosen)
        assert float(matrix.value[-1]) == pytest.approx(flow.target, abs=1e-12)
        assert matrix.imbalance().max() < 1e-10


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_integrated_gradients_sum_to_its_change(tiny, family, name):
    """Completeness, the law that names the method, of gradients that run back from inside the live pass."""
    model = tiny(family)
    question = ask(model, CLEAN, OTHER, wanted(model, name), basis_of(model, "neurons"))
    flow = change(question.clean, question.other, question.target)
    found = float((flow.embed * integrated(question, 160).embed).sum())
    jumps = (
        0.1 if "sae" in name or "set" in name or "transcoder" in name or "normal" in name else 0.0
    )  # a ReLU has a corner
    assert found == pytest.approx(flow.target, abs=(0.02 + jumps) * abs(flow.target) + 1e-3)


@pytest.mark.parametrize("name", ["neuron", "attn.out.1", "one of a set"])
def test_a_target_inside_is_traced_saved_and_proven(tiny, name, tmp_path):
    model = tiny("llama")
    asked = wanted(model, name)
    graph = trace(model, CLEAN, OTHER, asked, max_nodes=40)
    assert graph.summary_numbers["largest_imbalance"] < 1e-11
    assert graph.target == (asked.name,)
    assert graph.value == pytest.approx(
        asked.on(ask(model, CLEAN, OTHER, asked, basis_of(model, "neurons")).clean.frozen)
    )
    layers = {node.layer for node in graph.nodes if node.kind == "unit"}
    assert layers
    assert max(layers) <= asked.layer(3)
    again = Graph.load(graph.save(tmp_path / "graph.json"))
    config = ProofConfig(floor=-100.0)
    if name == "one of a set":
        with pytest.raises(WrongUse, match="a dictionary without a name, as its target"):
            prove(model, again, sizes=(5, 20), draws=3, config=config)
    elif graph.value > graph.counterfactual_value:
        proof = prove(model, again, sizes=(5, 20), draws=3, config=config)
        assert proof.faithfulness[1].n == 1
        assert proof.card["data"]["target"] == asked.to_dict()


def test_wrong_targets_are_refused(tiny):
    model = tiny("llama")
    with pytest.raises(WrongUse, match="neither a unit nor a vector"):
        target("resid.1")
    with pytest.raises(SiteNotFound, match="units 0 to 39"):
        trace(model, CLEAN, OTHER, target("mlp.neurons.1", 40))
    with pytest.raises(WrongUse, match="give one of 24 numbers"):
        trace(model, CLEAN, OTHER, target("resid.1", vector=torch.ones(3)))
    with pytest.raises(SiteNotFound):
        trace(model, CLEAN, OTHER, target("resid.9", 3))
    with pytest.raises(NotSupported, match=r"place units at attn.q.1"):
        trace(model, CLEAN, OTHER, target("attn.q.1", 3))
    with pytest.raises(WrongUse, match="`against`, which is for tokens"):
        trace(model, CLEAN, OTHER, target("resid.1", 3), against=6)
    dictionary = made(sae("resid.2", 24, UNITS))
    next(dictionary.units).b_enc.fill_(-100.0)
    with pytest.raises(WrongUse, match="a unit that is silent at position 6"):
        trace(model, CLEAN, OTHER, target(dictionary, 3))
    with pytest.raises(SiteNotFound, match="units 0 to 31"):
        trace(model, CLEAN, OTHER, target(dictionary, 99))
