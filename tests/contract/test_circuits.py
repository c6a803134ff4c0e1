"""Trace and proof on every family: the laws that hold whatever the network."""

from collections.abc import Callable

import pytest
import torch

from microtome.circuit.attribution import RULES, half, integrated, mean, scored
from microtome.circuit.change import change, side_by_side
from microtome.circuit.faithfulness import patched
from microtome.circuit.proving import prove
from microtome.circuit.question import Question, ask
from microtome.circuit.target import Target
from microtome.circuit.trace import trace
from microtome.circuit.traced import TraceConfig
from microtome.circuit.weighing import ProofConfig
from microtome.model.frozen import freeze
from tiny_models import FAMILIES

CLEAN, OTHER = [1, 7, 30, 12, 55, 8, 41], [1, 7, 30, 80, 55, 8, 41]
TARGET = Target((5, 8), ("a", "b"), (6,), ("c",))


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
    assert graph.value == pytest.approx(float(TARGET.read(clean, model.anatomy)), abs=1e-12)
    assert graph.counterfactual_value == pytest.approx(float(TARGET.read(other, model.anatomy)), abs=1e-12)
    assert {node.position for node in graph.nodes if node.kind == "unit"} <= set(range(3, graph.target_position + 1))


def test_the_whole_keeps_everything_and_its_removal_leaves_nothing(model):
    """At a size that no set of units exceeds, f is 1 and what is left is 0, for the circuit and every null."""
    values = side_by_side([layer.neurons for layer in freeze(model, OTHER).layers])
    none = torch.zeros((1, *values.shape), dtype=torch.bool)
    before, after = patched(model, CLEAN, values, TARGET, torch.cat([none, ~none])).tolist()
    target, against = ((5, 8), 6) if before > after else (6, (5, 8))
    graph = trace(model, CLEAN, OTHER, target=target, against=against, max_nodes=20)
    proof = prove(model, graph, sizes=(10, 10_000), draws=3, config=ProofConfig(floor=0.0))
    whole, nothing = proof.faithfulness[1], proof.completeness[1]
    assert whole.value == pytest.approx(1, abs=1e-9)
    assert nothing.value == pytest.approx(0, abs=1e-9)
    assert [null.mean for null in whole.nulls] == pytest.approx([1, 1], abs=1e-9)
    assert 0 < proof.differing_share < 1


def test_patching_is_what_hooks_on_the_untouched_module_do(model):
    if any(layer.experts is not None for layer in model.anatomy.layers):
        pytest.skip("experts have no one module whose input the units are; tests/contract/test_edits.py holds them")
    values = side_by_side([layer.neurons for layer in freeze(model, OTHER).layers])
    where = torch.rand((4, *values.shape), generator=torch.Generator().manual_seed(0)) < 0.5
    found = patched(model, CLEAN, values, TARGET, where)

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
    torch.testing.assert_close(found, TARGET.read(normed[0][:, -1], model.anatomy), rtol=0, atol=1e-12)
    assert len(set(found.tolist())) == len(where)


def question_of(model) -> Question:
    return ask(model, CLEAN, OTHER, TARGET)


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
    turned = ask(model, OTHER, CLEAN, TARGET)
    both = zip(mean(question).units, half(question).units, half(turned).units, strict=True)
    for ours, here, there in both:
        torch.testing.assert_close(ours, (here + there) / 2, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", [entry.name for entry in RULES])
def test_nothing_that_stays_the_same_gets_a_score(model, rule):
    question = question_of(model)
    flow = change(question.clean, question.other, TARGET)
    scores, embeds = scored(question, RULES.get(rule)(question))
    assert (scores[~flow.differs] == 0).all()
    assert (embeds[: flow.start] == 0).all()
    assert (scores[flow.differs] != 0).any()
