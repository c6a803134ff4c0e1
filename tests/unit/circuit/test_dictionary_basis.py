"""A dictionary as the basis of a trace and of its proof, held to autograd, to budgets and to neurons.

Dictionaries are random, so that every layer leaves a large error; one is not: its units are the neurons of a network
of ReLUs, which has to give the graph of the neurons. Autograd runs the untouched module with its nonlinearities held
and each MLP's output a leaf, by hooks of this file.
"""

from dataclasses import replace

import pytest
import torch

from microtome.circuit.attribution import RULES, half, integrated, scored
from microtome.circuit.change import change
from microtome.circuit.edges import direct_edges
from microtome.circuit.faithfulness import patched, score_prompt
from microtome.circuit.graph import Graph
from microtome.circuit.naming import basis_of
from microtome.circuit.nodesets import rankings
from microtome.circuit.places import Place
from microtome.circuit.proving import prove
from microtome.circuit.question import ask
from microtome.circuit.target import TokenTarget
from microtome.circuit.trace import choose, trace
from microtome.circuit.traced import TraceConfig
from microtome.circuit.weighing import ProofConfig
from microtome.core.errors import NotSupported, UnknownName, WrongUse
from microtome.data.row import Row
from microtome.data.task import Task
from microtome.dictionary.architecture import ARCHITECTURES
from microtome.dictionary.architectures.relu import ReLU
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.exchange import load_dictionary
from microtome.dictionary.geometry import crosscoder, layer_by_layer, sae
from microtome.dictionary.starting import untrained
from microtome.model import edits
from microtome.model.opening import open
from microtome.model.replay import replay
from microtome.report.writer import report

CLEAN, OTHER = [1, 7, 30, 12, 55, 8, 41], [1, 7, 30, 80, 55, 8, 41]
TARGET = TokenTarget((5, 8), ("a", "b"), (6,), ("c",))
UNITS = 32
ALL = TraceConfig(node_share=1.0, edge_share=1.0)


def made(layers=(0, 1, 2), d=24, architecture=None, **conventions) -> Dictionary:
    reads, writes = (tuple(f"mlp.{end}.{layer}" for layer in layers) for end in ("in", "out"))
    settings = Conventions(centred=False, **conventions)
    geometry = layer_by_layer(reads, writes, d, d, UNITS)
    dictionary = untrained(geometry, architecture or TopK(6), settings, seed=0, length=0.7).double()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in dictionary.parameters():
            if parameter.ndim:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return dictionary.requires_grad_(False)


def question_of(model, dictionary):
    return ask(model, CLEAN, OTHER, TARGET, basis_of(model, dictionary))


CASES = {
    "topk": {},
    "skip": {"skip": True},
    "layer": {"normalised": "layer", "skip": True},
    "length": {"normalised": "length"},
    "some layers": {"layers": (0, 2), "skip": True},
    **{entry.name: {"architecture": entry.value.tiny()} for entry in ARCHITECTURES},
}


@pytest.mark.parametrize("against", [False, True], ids=["values", "differences"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "gemma2"])
def test_rows_sum_to_their_values(tiny, family, case, against):
    question = question_of(tiny(family), made(**CASES[case]))
    flow = change(question.clean, question.other if against else None, TARGET)
    chosen = choose(scored(question, half(question)).units, 60)
    matrix = direct_edges(question.clean, flow, TARGET, chosen)
    assert matrix.imbalance().max() < 1e-12
    assert float(matrix.value[-1]) == pytest.approx(flow.target, abs=1e-12)
    assert matrix.columns.sizes["error"] == len(CLEAN) * len(flow.errors)
    assert matrix.terms[:, matrix.columns.slices["error"]].abs().max() > 1e-3
    if not against:  # active units are lines of what they read, whose RMS norms transformers computes in float32
        assert matrix.nonlinear[:-1].abs().max() < (1e-9 if family.startswith("gpt") else 1e-5)


@pytest.mark.parametrize("skip", [False, True], ids=["", "skip"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_edges_equal_autograd(tiny, family, skip):
    dictionary = made(skip=skip, architecture=ARCHITECTURES.get("relu").tiny())
    question = question_of(tiny(family), dictionary)
    clean, frozen = question.clean, question.clean.frozen
    flow = change(clean, None, TARGET)
    chosen = choose(scored(question, half(question)).units, 90)
    matrix = direct_edges(clean, flow, TARGET, chosen)
    reads, leaves, handles = {}, [], []
    for i, layer in enumerate(frozen.layers):
        beside = layer.mlp_in @ dictionary.W_skip[i].T if skip else 0
        leaves.append((layer.mlp_out - beside).requires_grad_())
        handles.append(layer.layer.mlp.register_forward_hook(_instead(i, leaves[i], reads, dictionary.W_skip)))
    passed = replay(frozen, frozen.embed.clone(), cut=True)
    for handle in handles:
        handle.remove()
    first = matrix.columns.slices["error"].start
    rows = [*chosen.at(2)[:6].tolist(), *chosen.at(1)[:6].tolist(), len(chosen)]
    blocks = list(dictionary.units)
    for row in rows:
        if row == len(chosen):
            read = TARGET.direction(frozen.logits(-1), frozen.anatomy) @ _normed(frozen, passed)
        else:
            layer, position, column = (int(x[row]) for x in (chosen.blocks, chosen.positions, chosen.units))
            active = bool(clean.blocks[layer].values[position, column] != 0)
            unit = int(clean.blocks[layer].ids[column]) - layer * UNITS
            read = active * (blocks[layer].W_enc[unit] @ reads[layer][position])
        grads = torch.autograd.grad(read, leaves, retain_graph=True, allow_unused=True, materialize_grads=True)
        for i, grad in enumerate(grads):
            here = chosen.at(i)
            at, units = chosen.positions[here], clean.blocks[i].ids[chosen.units[here]] - i * UNITS
            wrote = blocks[i].W_dec[units] * clean.blocks[i].values[at, chosen.units[here], None]
            assert (matrix.units[row, here] - (grad[at] * wrote).sum(1)).abs().max() < 1e-8
            errors = matrix.terms[row, first + i * len(CLEAN) : first + (i + 1) * len(CLEAN)]
            assert (errors - (grad * clean.errors[Place(i, "mlp.out")]).sum(1)).abs().max() < 1e-8


def _instead(index, leaf, reads, skip):
    def hook(module, args, output):
        reads[index] = args[0][0]
        return (leaf if skip is None else leaf + args[0][0] @ skip[index].T)[None]

    return hook


def _normed(frozen, passed):
    """The normed stream at the end from the logits: rows of the unembedding span it."""
    logits = passed.logits[-1] if frozen.anatomy.b_u is None else passed.logits[-1] - frozen.anatomy.b_u
    return torch.linalg.lstsq(frozen.anatomy.w_u, logits[:, None]).solution[:, 0]


@pytest.fixture
def oracle(tiny):
    """A network of ReLUs, and its neurons as a dictionary of transcoders."""
    model = tiny("gpt2", activation_function="relu")
    layers = model.anatomy.layers
    reads, writes = (tuple(f"mlp.{end}.{i}" for i in range(len(layers))) for end in ("in", "out"))
    geometry = layer_by_layer(reads, writes, 24, 24, 40)
    dictionary = Dictionary(geometry, ReLU(), Conventions(centred=False)).double().requires_grad_(False)
    for i, (layer, units) in enumerate(zip(layers, dictionary.units, strict=True)):
        units.W_enc.copy_(layer.w_gate)
        units.b_enc.copy_(layer.bias_in(first=True))
        units.W_dec.copy_(layer.w_down.T)
        dictionary.b_dec[i] = layer.b_down
    return model, dictionary


@pytest.mark.parametrize("rule", [entry.name for entry in RULES])
def test_the_neurons_as_a_dictionary_give_the_graph_of_the_neurons(oracle, rule):
    model, dictionary = oracle
    config = TraceConfig(rule=rule)
    ours, theirs = (trace(model, CLEAN, OTHER, (5, 8), 6, one, 40, config=config) for one in (dictionary, "neurons"))
    numbered = {
        f"unit.mlp.neurons.{n.layer}.{n.position}.{n.unit - 40 * n.layer}" for n in ours.nodes if n.kind == "unit"
    }
    assert numbered == {n.id for n in theirs.nodes if n.kind == "unit"}
    assert len(ours.edges) == len(theirs.edges)
    torch.testing.assert_close(
        torch.tensor([edge.weight for edge in ours.edges]), torch.tensor([edge.weight for edge in theirs.edges])
    )
    ranked = [(layer, p, unit - 40 * layer) for layer, p, unit, _ in ours.ranking[:50]]
    assert ranked == [row[:3] for row in theirs.ranking[:50]]
    weights, _, sources = ours.matrix
    at = [i for i, source in enumerate(sources) if source.startswith("error")]
    assert len(at) == 3 * len(CLEAN)
    assert abs(weights[:, at]).max() < 1e-12


def _errors(graph):
    return [node for node in graph.nodes if node.kind == "error"]


@pytest.mark.parametrize("skip", [False, True], ids=["", "skip"])
def test_a_score_is_the_slope_of_what_an_edit_does(tiny, skip):
    """Of a live edit of one unit, where the path of integrated gradients is a point: the clean prompt."""
    model, dictionary = tiny("gpt2"), made(skip=skip)
    question = question_of(model, dictionary)
    nearly = question.clean.frozen.embed + 1e-12  # an edit that changes nothing is none
    there = replace(question, baseline=replace(question.baseline, embed=nearly))
    gradients, position = integrated(there, 1), len(CLEAN) - 1

    def after(unit, by):
        edit = edits.add(dictionary, by, units=unit, positions=position)
        return float(TARGET.of_normed(model.run(CLEAN, ["norm.final"], edits=edit)["norm.final"][0, -1], model.anatomy))

    for index, layer in enumerate(question.clean.blocks):
        for column in layer.values[position].nonzero()[:3, 0].tolist():
            unit = int(layer.ids[column])
            slope = (after(unit, 1e-5) - after(unit, -1e-5)) / 2e-5
            assert float(gradients.units[index][position, column]) == pytest.approx(slope, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("layers", [(0, 1, 2), (1,)], ids=["all layers", "one layer"])
def test_all_units_keep_everything_and_none_keep_nothing(tiny, layers):
    question = question_of(tiny("llama"), made(layers=layers, skip=True))
    clean, other = question.clean.values, question.other.values
    differs = clean != other
    n = int(differs.sum())
    ranked = rankings(clean - other, (clean - other).abs(), differs, 2, 0)
    scores = score_prompt(question, ranked, (n,))
    assert scores.kept[0, 0] == pytest.approx(scores.clean, abs=1e-12)
    assert scores.removed[0, 0] == pytest.approx(scores.empty, abs=1e-12)
    assert abs(scores.span) > 1e-3
    assert 0 < scores.share < 1


def test_patching_sets_units_and_keeps_the_live_error(tiny):
    """What hooks on the module do: at the first layer, whose inputs no edit reaches, the output moves by the units."""
    model, dictionary = tiny("llama"), made(layers=(0,))
    question = question_of(model, dictionary)
    units = question.clean.blocks[0]
    where = torch.zeros(1, 3, *question.clean.values.shape[1:], dtype=torch.bool)
    where[0, 0] = question.clean.values[0] != question.other.values[0]
    written = (question.other.values[0] - question.clean.values[0])[:, : len(units.ids)]
    moved = written @ next(dictionary.units).W_dec[units.ids]
    handle = model.anatomy.layers[0].mlp.register_forward_hook(lambda module, args, out: out + moved)
    expected = TARGET.of_normed(model.run(CLEAN, ["norm.final"])["norm.final"][0, -1], model.anatomy)
    handle.remove()
    assert float(patched(question, where)[0]) == pytest.approx(float(expected), abs=1e-12)


def test_a_graph_with_errors_is_proven_saved_and_shown(tiny, tmp_path):
    model, dictionary = tiny("llama"), made()
    question = question_of(model, dictionary)
    none = torch.zeros((1, *question.clean.values.shape), dtype=torch.bool)
    kept, lost = patched(question, torch.cat([none, ~none])).tolist()
    target, against = ((5, 8), 6) if kept > lost else (6, (5, 8))
    graph = trace(model, CLEAN, OTHER, target, against, dictionary, 60, config=ALL)
    assert graph.summary_numbers["largest_imbalance"] < 1e-12
    shown = _errors(graph)
    assert shown
    assert {node.id for node in shown} == {f"error.mlp.out.{node.layer}.{node.position}" for node in shown}
    assert all(node.value > 0 and node.attribution for node in shown)
    assert Graph.load(graph.save(tmp_path / "graph.json")) == graph
    page = report(graph, path=tmp_path / "graph.html").read_text(encoding="utf-8")
    assert f"L{shown[0].layer} error" in page
    config = ProofConfig(floor=0.0)
    with pytest.raises(WrongUse, match="a dictionary without a name"):
        prove(model, graph, sizes=(5, 20), draws=3, config=config)
    with pytest.raises(WrongUse, match="give the dictionary that the graph was traced with"):
        prove(model, graph, sizes=(5, 20), draws=3, basis=made(skip=True), config=config)
    proof = prove(model, graph, sizes=(5, 20), draws=3, basis=dictionary, config=config)
    assert [null.name for null in proof.faithfulness[0].nulls] == ["matched random", "change"]
    assert proof.card["data"]["basis"] == graph.card["data"]["basis"]


def test_units_are_numbered_as_edits_number_them(tiny):
    model, dictionary = tiny("llama"), made()
    graph = trace(model, CLEAN, OTHER, (5, 8), 6, dictionary, 60, config=ALL)
    units = [node for node in graph.nodes if node.kind == "unit"]
    assert {node.unit // UNITS for node in units} == {node.layer for node in units} == {0, 1, 2}
    run = model.run(CLEAN, ["mlp.in.*"])
    for node in units:
        codes = dictionary.coder.encode([node.unit], {f"mlp.in.{i}": run[f"mlp.in.{i}"] for i in range(3)})
        assert float(codes[0, node.position, 0]) == pytest.approx(node.value, abs=1e-12)


def test_what_cannot_serve_is_refused_with_its_cure(tiny):
    model = tiny("llama")
    with pytest.raises(NotSupported, match=r"read resid.0, resid.2 and write resid.0, resid.2") as raised:
        trace(model, CLEAN, OTHER, 5, 6, untrained(crosscoder(("resid.0", "resid.2"), 24, UNITS), TopK(6), seed=0))
    assert "would depend on themselves" in raised.value.found
    with pytest.raises(NotSupported, match=r"write mlp.in.1, which a norm parts from the stream"):
        trace(model, CLEAN, OTHER, 5, 6, untrained(sae("mlp.in.1", 24, UNITS), TopK(6), seed=0))
    with pytest.raises(NotSupported, match=r"place units at attn.q.1"):
        trace(model, CLEAN, OTHER, 5, 6, untrained(sae("attn.q.1", 24, UNITS), TopK(6), seed=0))
    with pytest.raises(WrongUse, match=r"two sets of units that write mlp.out.0, mlp.out.1, mlp.out.2"):
        trace(model, CLEAN, OTHER, 5, 6, [made(), made(skip=True)])
    with pytest.raises(WrongUse, match=r"units at mlp.in.7, and a model of 3 layers"):
        trace(model, CLEAN, OTHER, 5, 6, made(layers=(0, 7)))
    with pytest.raises(WrongUse, match="24 numbers a token, where its units"):
        trace(model, CLEAN, OTHER, 5, 6, made(d=12))
    with pytest.raises(UnknownName, match="tiny/transcoders"):
        trace(model, CLEAN, OTHER, 5, 6, "tiny/transcoder")


@pytest.fixture(scope="module")
def shipped():
    return open("tiny"), load_dictionary("tiny/transcoders")


def test_the_shipped_transcoders_trace_a_story(shipped):
    model, dictionary = shipped
    before, after = "Tom has a red ball. Tom likes his", "Tom has a red boat. Tom likes his"
    graph = trace(model, before, after, basis=dictionary, max_nodes=200)
    named = trace(model, before, after, basis="tiny/transcoders", max_nodes=200)
    assert named.basis == "tiny/transcoders"
    assert (named.nodes, named.edges, named.ranking) == (graph.nodes, graph.edges, graph.ranking)
    assert graph.summary_numbers["largest_imbalance"] < 1e-5
    values = trace(model, before, basis=dictionary, max_nodes=200)
    assert values.summary_numbers["largest_imbalance"] < 1e-5
    assert _errors(values)


def test_a_task_is_proven_in_units_of_the_shipped_transcoders(shipped):
    model, _ = shipped
    text = "Once upon a time, there was a little {}. The"
    pairs = [("dog", "cat"), ("bird", "fish"), ("ball", "dog"), ("cat", "bird")]
    rows = tuple(Row(text.format(one), text.format(other), f" {one}", f" {other}") for one, other in pairs)
    task = Task("animals", rows, "here", None, 0)
    proof = prove(model, task, sizes=(10, 100), draws=3, basis="tiny/transcoders")
    few, many = proof.faithfulness
    assert few.n == many.n == 4
    assert 0.5 < few.value < many.value
    assert many.value == pytest.approx(1.0, abs=0.1)
    assert proof.card["config"]["basis"] == "tiny/transcoders"
    assert "20 prompts" in proof.verdict.words


def test_drawn_edges_and_remainders_sum_to_each_change(shipped):
    model, dictionary = shipped
    graph = trace(model, "Tom has a red ball. Tom likes his", "Tom has a red boat. Tom likes his", basis=dictionary)
    for node in graph.nodes:
        if node.kind in ("unit", "logit"):
            incoming = [edge.weight for edge in graph.edges if edge.target == node.id]
            scale = sum(map(abs, incoming)) + abs(node.remainder) + abs(node.nonlinear)
            whole = sum(incoming) + node.remainder + node.nonlinear
            assert whole == pytest.approx(node.value - node.counterfactual_value, abs=2e-5 * scale + 1e-6)


def test_a_layer_whose_units_are_silent_is_all_error(tiny):
    model, dictionary = tiny("llama"), made(architecture=ReLU())
    list(dictionary.units)[1].b_enc.fill_(-100.0)
    question = question_of(model, dictionary)
    silent = question.clean.blocks[1]
    assert len(silent.ids) == 0
    frozen, written = question.clean.frozen.layers[1], question.clean.written[Place(1, "mlp.out")]
    assert not silent.means({"mlp.in.1": frozen.mlp_in}).any()
    torch.testing.assert_close(written.error + written.constant, frozen.mlp_out)
    graph = trace(model, CLEAN, OTHER, (5, 8), 6, dictionary, 60, config=ALL)
    assert graph.summary_numbers["largest_imbalance"] < 1e-12
    assert {node.layer for node in graph.nodes if node.kind == "unit"} == {0, 2}
