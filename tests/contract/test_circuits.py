"""Trace and proof on every family: the laws that hold whatever the network."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from microtome.circuit.attribution import RULES, half, integrated, integrated_by_layer, mean, scored
from microtome.circuit.bases.neurons import NEURONS
from microtome.circuit.basis import side_by_side
from microtome.circuit.change import change
from microtome.circuit.faithfulness import patched
from microtome.circuit.proving import prove
from microtome.circuit.question import Question, ask
from microtome.circuit.target import TokenTarget
from microtome.circuit.trace import trace
from microtome.circuit.traced import TraceConfig
from microtome.circuit.weighing import ProofConfig
from microtome.core.errors import FormatError, SiteNotFound, UnknownName, WrongUse
from microtome.data.task import Row, Task
from microtome.model import edits
from microtome.model.frozen import freeze
from tiny_models import FAMILIES

CLEAN, OTHER = [1, 7, 30, 12, 55, 8, 41], [1, 7, 30, 80, 55, 8, 41]
TARGET = TokenTarget((5, 8), ("a", "b"), (6,), ("c",))


SPARSE = {"mixtral", "qwen3_moe", "olmoe", "gpt_oss"}


@pytest.fixture(params=sorted(FAMILIES))
def model(request, tiny):
    return tiny(request.param)


@pytest.mark.parametrize("position", [-1, 4])
def test_every_row_of_a_trace_sums_to_its_change(model, position):
    config = TraceConfig(position=position)
    graph = trace(model, CLEAN, OTHER, target=(5, 8), against=6, max_nodes=60, config=config)
    assert graph.summary_numbers["largest_imbalance"] < 1e-12
    assert graph.target_position == position % len(CLEAN)
    clean, other = (model.run(ids, ["norm.final"])["norm.final"][0, position] for ids in (CLEAN, OTHER))
    assert graph.value == pytest.approx(float(TARGET.of_normed(clean, model.anatomy)), abs=1e-12)
    assert graph.counterfactual_value == pytest.approx(float(TARGET.of_normed(other, model.anatomy)), abs=1e-12)
    assert {node.position for node in graph.nodes if node.kind == "unit"} <= set(range(3, graph.target_position + 1))


def supported(model) -> tuple[object, object]:
    """A target and its rival that falls when every unit takes its counterfactual value."""
    question = question_of(model)
    none = torch.zeros((1, *question.clean.values.shape), dtype=torch.bool)
    before, after = patched(question, torch.cat([none, ~none])).tolist()
    return ((5, 8), 6) if before > after else (6, (5, 8))


def test_a_proof_stands_between_nothing_and_everything(model):
    """Sizes up to all units but one: f comes near 1, what is left near 0, and all of them is refused."""
    target, against = supported(model)
    graph = trace(model, CLEAN, OTHER, target=target, against=against, max_nodes=20)
    ranked = len(graph.ranking)
    proof = prove(model, graph, sizes=(10, ranked - 1), draws=3, config=ProofConfig(floor=0.0))
    assert proof.faithfulness[1].value == pytest.approx(1, abs=0.1)
    assert proof.completeness[1].value == pytest.approx(0, abs=0.1)
    assert 0 < proof.differing_share < 1
    assert proof.card["config"]["rule"] == graph.card["config"]["rule"]
    with pytest.raises(WrongUse, match=r"a ranking of|units that differ"):
        prove(model, graph, sizes=(ranked + 1,), draws=3)


def test_a_proof_tests_the_ranking_that_the_graph_carries(model):
    target, against = supported(model)
    graph = trace(model, CLEAN, OTHER, target=target, against=against, max_nodes=20)
    config = ProofConfig(floor=0.0)
    turned = replace(graph, ranking=tuple((*row[:3], 1 / (i + 1)) for i, row in enumerate(graph.ranking[::-1])))
    ours, theirs = (prove(model, one, sizes=(30,), draws=1, config=config) for one in (graph, turned))
    assert ours.faithfulness[0].value != theirs.faithfulness[0].value
    strange = replace(graph, ranking=((99, 3, 0, 1.0), *graph.ranking))
    with pytest.raises(FormatError, match="a ranking with units outside"):
        prove(model, strange, sizes=(30,), draws=1, config=config)


def test_what_a_proof_offers_as_evidence_has_its_nulls(model):
    target, against = supported(model)
    graph = trace(model, CLEAN, OTHER, target=target, against=against, max_nodes=20)
    proof = prove(model, graph, sizes=(10, 30), draws=2, config=ProofConfig(floor=0.0))
    assert len(proof.finding.supports) == 5
    for measured in proof.finding.supports:
        assert [null.name for null in measured.nulls] == ["matched random", "change"]
        assert (measured.n, measured.seed) == (1, 0)
    assert proof.finding.verdict == proof.verdict.words


def test_patching_is_what_hooks_on_the_untouched_module_do(model):
    if any(layer.experts is not None for layer in model.anatomy.layers):
        pytest.skip("experts have no one module whose input the units are; tests/contract/test_edits.py holds them")
    values = side_by_side([layer.neurons for layer in freeze(model, OTHER).layers])
    where = torch.rand((4, *values.shape), generator=torch.Generator().manual_seed(0)) < 0.5
    found = patched(question_of(model), where)

    def filled(i: int) -> Callable[..., tuple[torch.Tensor]]:
        return lambda module, args: (torch.where(where[:, i], values[i], args[0]),)

    downs = [layer.part(layer.family.down) for layer in model.anatomy.layers]
    handles = [down.register_forward_pre_hook(filled(i)) for i, down in enumerate(downs)]
    normed = []
    handles.append(model.anatomy.final_norm_module.register_forward_hook(lambda module, args, out: normed.append(out)))
    with torch.no_grad():
        model.module(torch.tensor([CLEAN] * len(where)), use_cache=False)
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(found, TARGET.of_normed(normed[0][:, -1], model.anatomy), rtol=0, atol=1e-12)
    assert len(set(found.tolist())) == len(where)


def question_of(model) -> Question:
    return ask(model, CLEAN, OTHER, TARGET, NEURONS)


def test_integrated_gradients_of_the_embeddings_sum_to_the_change(model):
    """Completeness, the law that names the method; midpoints come close with the square of their number."""
    if any(layer.experts is not None for layer in model.anatomy.layers):
        pytest.skip("a router that changes its mind on the way makes the target jump, and no gradient sees a jump")
    question = question_of(model)
    flow = change(question.clean, question.other, TARGET)
    coarse, fine = (float((flow.embed * integrated(question, steps).embed).sum()) for steps in (40, 160))
    assert fine == pytest.approx(flow.target, abs=0.02 * abs(flow.target) + 1e-3)
    assert abs(fine - flow.target) <= abs(coarse - flow.target) + 1e-6


def test_the_mean_rule_is_the_mean_of_both_prompts(model):
    question = question_of(model)
    turned = ask(model, OTHER, CLEAN, TARGET, NEURONS)
    both = zip(mean(question).units, half(question).units, half(turned).units, strict=True)
    for ours, here, there in both:
        torch.testing.assert_close(ours, (here + there) / 2, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", [entry.name for entry in RULES])
def test_scores_are_changes_times_the_gradients_of_the_rule(model, rule):
    question = question_of(model)
    gradients = RULES.get(rule)(question)
    scores = scored(question, gradients)
    for i, (clean, other) in enumerate(zip(question.clean.blocks, question.other.blocks, strict=True)):
        width = clean.values.shape[1]
        expected = (clean.values - other.values) * gradients.units[i]
        torch.testing.assert_close(scores.units[i, :, :width], expected, rtol=0, atol=1e-12)
        assert not scores.units[i, :, width:].any()
    assert scores.embed.shape == (len(CLEAN),)
    assert scores.embed.abs().max() > 0
    assert scores.errors == {}


@pytest.mark.parametrize("model", sorted({*FAMILIES} - SPARSE), indirect=True)  # their experts jump
def test_units_by_layers_sum_to_what_setting_the_whole_layer_brings(model):
    """The completeness of integrated gradients, layer by layer, in the live network."""
    question = question_of(model)
    scores = scored(question, integrated_by_layer(question, steps=40)).units.sum((1, 2))
    layers = range(len(scores))
    where = torch.zeros((1 + len(layers), *question.clean.values.shape), dtype=torch.bool)
    for layer in layers:
        where[1 + layer, layer] = True
    clean, *without = patched(question, where).tolist()
    expected = [clean - value for value in without]
    torch.testing.assert_close(scores, torch.tensor(expected, dtype=scores.dtype), rtol=1e-2, atol=1e-4)


def test_wrong_questions_are_refused(tiny):
    model = tiny("llama")
    with pytest.raises(SiteNotFound, match="find position 99"):
        trace(model, CLEAN, OTHER, 5, 6, config=TraceConfig(position=99))
    with pytest.raises(WrongUse, match="the prompts part at position 3"):
        trace(model, CLEAN, OTHER, 5, 6, config=TraceConfig(position=1))
    with pytest.raises(WrongUse, match="the same token twice"):
        trace(model, CLEAN, OTHER, (5, 5), 6)
    with pytest.raises(WrongUse, match="most_edges=0"):
        TraceConfig(most_edges=0)
    with model.edit(edits.ablate("mlp.neurons.1", units=[3])), pytest.raises(WrongUse, match="edits in force"):
        trace(model, CLEAN, OTHER, 5, 6)
    graph = trace(model, CLEAN, OTHER, 5, 6, max_nodes=20)
    another = "half" if graph.card["config"]["rule"] != "half" else "ig"
    with pytest.raises(WrongUse, match="leave the rule out"):
        prove(model, graph, sizes=(10,), config=ProofConfig(rule=another))
    with pytest.raises(WrongUse, match="does not fall by 50"):
        prove(model, graph, sizes=(10,), config=ProofConfig(floor=50.0))
    with pytest.raises(UnknownName, match="neurones"):
        prove(model, Task("made up", (Row("a", "b", "c", "d"),), "here", 0, 1), basis="neurones")


def test_few_edges_leave_no_orphans(tiny):
    graph = trace(tiny("llama"), CLEAN, OTHER, 5, 6, max_nodes=60, config=TraceConfig(most_edges=8))
    ends = {end for edge in graph.edges for end in (edge.source, edge.target)}
    assert len(graph.edges) <= 8
    assert all(node.id in ends for node in graph.nodes if node.kind == "unit")
