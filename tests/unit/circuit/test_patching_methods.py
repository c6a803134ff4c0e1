"""Methods of patching against references, against each other where the network is linear, and against their laws."""

import math
from functools import cache

import pytest
import torch
from patching_cases import random_pairs
from patching_reference import eap, run
from torch import nn

from microtome.circuit.patching.components import components_of
from microtome.circuit.patching.method import METHODS
from microtome.circuit.patching.patching import case_of, kept, patch
from microtome.circuit.patching.rows import Pair
from microtome.circuit.patching.scores import Scores
from microtome.core.errors import FormatError, MissingFile, UnknownName, WrongUse
from microtome.model import edits
from tiny_models import FAMILIES, tiny_model

DENSE = ("gpt2", "llama", "gemma2", "gpt_neox")
NODES = ("embed", "head", "mlp")
ALL_KINDS = (*NODES, "unit", "q", "k", "v")


def apart(one, two) -> float:
    assert one.keys() == two.keys()
    return max(abs(one[name] - two[name]) for name in one)


@pytest.fixture(params=DENSE)
def family(request):
    return request.param


def test_the_dense_reference_is_the_network(family):
    model = tiny_model(family)
    (pair,) = random_pairs(model, n=1, length=4)
    logits = model.anatomy.uncapped(model.run(list(pair.clean))["logits"][0, -1])
    found = run(family, model.module, pair.clean, pair.target[0], pair.against[0])
    assert float(found.metric.detach()) == pytest.approx(
        float(logits[pair.target[0]] - logits[pair.against[0]]), abs=1e-6
    )


def test_eap_is_the_dense_reference(family):
    model = tiny_model(family)
    pairs = random_pairs(model, n=3, length=4)
    components = components_of(model.anatomy)
    expected = eap(family, model.module, pairs, lambda reader: components.sources[: components.before(reader)])
    found = patch(model, pairs, "eap", batch=2)
    assert apart(found.edges, expected) < 1e-6
    assert max(map(abs, expected.values())) > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_eap_is_the_limit_of_patched_edges(family):
    """A thousandth of each change, patched edge by edge, times a thousand: central differences, every family."""
    model = tiny_model(family)
    pairs = random_pairs(model, n=1)
    found = patch(model, pairs, "eap")
    case, _ = case_of(model, pairs, "logit difference", 64)
    (bench,) = case.benches()
    (clean, other), some = case.outputs(bench.rows), list(case.components.edges)[::7]
    patched = torch.zeros(len(some), *case.components.exists.shape, dtype=torch.bool)
    for i, edge in enumerate(some):
        patched[i][case.components.place(edge)] = True
    up, down = (
        case.rewired(bench, (clean + h * (other - clean)).repeat(len(some), 1, 1, 1), patched,
                     bench.rows.repeated(len(some)))
        for h in (1e-2, -1e-2)
    )  # fmt: skip
    slopes = (down - up) / 2e-2
    expected = torch.tensor([found.edges[edge] for edge in some]).to(slopes)
    scale = float(expected.abs().max())
    torch.testing.assert_close(slopes, expected, rtol=1e-2, atol=2e-3 * scale)  # float32 norms limit the step


@pytest.mark.parametrize("family", FAMILIES)
def test_an_edges_node_is_attribution_patching_where_no_norm_follows(family):
    model = tiny_model(family)
    case, _ = case_of(model, random_pairs(model, n=2), "logit difference", 8)
    by_edges, by_nodes = METHODS.get("eap")().score(case), METHODS.get("atp")(kinds=NODES).score(case)
    heads = [] if model.anatomy.family.attn_post_norm is None else [n for n in by_nodes.nodes if "head" in n]
    assert {name for name in by_nodes.nodes if abs(by_nodes.nodes[name] - by_edges.nodes[name]) > 1e-5} <= {*heads}


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "qwen3", "mixtral"])
def test_attribution_is_the_slope_of_activation_patching(family):
    model = tiny_model(family)
    (pair,) = random_pairs(model, n=1)
    case, _ = case_of(model, [pair], "logit difference", 8)
    found = METHODS.get("atp")(kinds=ALL_KINDS).score(case).nodes
    (bench,) = case.benches()
    places = (
        ("embed", "embed", None), ("mlp.1", "mlp.out.1", None), ("head.1.2", "attn.heads.1", 2),
        ("unit.0.7", "mlp.neurons.0", 7), ("head.2.3.q", "attn.q.2", 3), ("head.1.1.k", "attn.k.1", 1),
        ("head.0.0.v", "attn.v.0", 0),
    )  # fmt: skip
    runs = [model.run(list(ids), [site for _, site, _ in places]) for ids in (pair.clean, pair.counterfactual)]
    for name, site, unit in places:
        here, there = (run[site] for run in runs)
        index = {} if unit is None else {"units": unit}
        m = [
            float(case.measure(bench.rows, [edits.set(site, here + h * (there - here), may_be_empty=True, **index)]))
            for h in (0.01, -0.01)
        ]
        assert found[name] == pytest.approx((m[1] - m[0]) / 0.02, rel=2e-2, abs=1e-4), name


def linear_gpt2():
    """A GPT-2 without anything that bends: no norms, no activation, patterns that do not depend on the stream."""
    model = tiny_model("gpt2", activation_function="linear", num_hidden_layers=2, num_attention_heads=2, n_inner=5)
    module = model.module
    for block in module.transformer.h:
        block.ln_1 = block.ln_2 = nn.Identity()
        block.attn.c_attn.weight.data[:, :48] = 0
    module.transformer.ln_f = nn.Identity()
    return tiny_like(model)


def tiny_like(model):
    from microtome.model.model import Model
    from microtome.model.opening import anatomy_of

    return Model(model.module, None, anatomy_of(model.module), name="linear", fingerprint="0" * 16)


def test_where_all_is_linear_all_methods_agree():
    model = linear_gpt2()
    pairs = random_pairs(model, n=2, length=4)
    exact, edges = patch(model, pairs, "activation", kinds=ALL_KINDS), patch(model, pairs, "path")
    assert max(map(abs, exact.nodes.values())) > 0.01
    assert max(map(abs, edges.edges.values())) > 0.01
    assert apart(patch(model, pairs, "atp", kinds=ALL_KINDS).nodes, exact.nodes) < 1e-9
    assert apart(patch(model, pairs, "activation", kinds=ALL_KINDS, direction="denoise").nodes, exact.nodes) < 1e-9
    for settings in ({}, {"rule": "left"}, {"path": "activations"}, {"path": "activations", "rule": "left"}):
        assert apart(patch(model, pairs, "eap-ig", steps=3, **settings).edges, edges.edges) < 1e-9
    assert apart(patch(model, pairs, "eap").edges, edges.edges) < 1e-9
    acdc = patch(model, pairs, "acdc", tau=-math.inf)
    assert apart(acdc.edges, edges.edges) < 1e-9


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_integrated_gradients_are_complete(family):
    """Over the embedding they sum to M(clean) − M(counterfactual), the midpoint rule much sooner than the left."""
    model = tiny_model(family, num_hidden_layers=2)
    pairs = random_pairs(model, n=2)

    @cache
    def error(steps, rule):
        found = patch(model, pairs, "eap-ig", steps=steps, rule=rule, batch=64)
        return abs(found.nodes["embed"] - (found.clean - found.other))

    assert error(32, "midpoint") < 0.01
    assert error(32, "midpoint") < error(4, "midpoint") / 8
    assert error(32, "left") < error(4, "left") / 3
    assert error(32, "midpoint") < error(32, "left")


def test_the_left_rule_starts_at_the_counterfactual():
    """With one step it is EAP with the gradient of the other prompt: swapped prompts, and the sign with them."""
    model = tiny_model("gpt2")
    pairs = random_pairs(model)
    turned = [Pair(p.counterfactual, p.clean, p.target, p.against) for p in pairs]
    found, swapped = patch(model, pairs, "eap-ig", steps=1, rule="left"), patch(model, turned, "eap")
    assert apart(found.edges, {edge: -score for edge, score in swapped.edges.items()}) < 1e-12


def test_activation_patching_is_one_run_with_the_value_exchanged():
    model = tiny_model("phi", num_hidden_layers=2)
    pairs = random_pairs(model)
    found = patch(model, pairs, "activation", batch=6)
    case, _ = case_of(model, pairs, "logit difference", 8)
    (bench,) = case.benches()
    there = model.run(bench.rows.other, ["attn.heads.1"])["attn.heads.1"]
    one = case.measure(bench.rows, [edits.set("attn.heads.1", there, units=2)])
    assert found.nodes["head.1.2"] == pytest.approx(float((case.measure(bench.rows) - one).mean()), abs=1e-12)
    whole = patch(model, pairs, "activation", kinds=("embed",), direction="denoise")
    assert whole.nodes["embed"] == pytest.approx(found.clean - found.other, abs=1e-9)


@pytest.mark.parametrize("settings", [{}, {"order": "forward"}, {"ablation": "zero"}, {"absolute": True}], ids=str)
def test_acdc_without_a_threshold_keeps_all_and_with_an_endless_one_nothing(settings):
    model = tiny_model("gpt2", num_hidden_layers=2, num_attention_heads=1)
    pairs = random_pairs(model, n=2, length=4)
    every = components_of(model.anatomy).edges
    nothing = patch(model, pairs, "acdc", metric="kl", tau=math.inf, **settings)
    assert nothing.kept == frozenset()
    assert len(nothing.order) == len(every)
    alls = patch(model, pairs, "acdc", metric="kl", tau=-math.inf, **settings)
    assert alls.kept == {*every}
    assert alls.order == ()


def test_acdc_keeps_what_its_costs_say():
    model = tiny_model("llama", num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)
    pairs = random_pairs(model, n=2)
    found = patch(model, pairs, "acdc", tau=0.05)
    assert found.kept == {edge for edge, cost in found.edges.items() if cost >= 0.05}
    assert 0 < len(found.kept) < len(found.edges)
    lost = sum(found.edges[edge] for edge in found.order)
    assert float(kept(model, pairs, found.kept).circuit.mean()) == pytest.approx(found.clean - lost, abs=1e-6)


def test_scores_survive_their_file(tmp_path):
    model = tiny_model("gpt2", num_hidden_layers=1)
    found = patch(model, random_pairs(model), "acdc", tau=math.inf)
    back = Scores.load(found.save(tmp_path / "scores.json"))
    assert back.to_dict() == found.to_dict()
    assert back.edges == found.edges
    assert back.components == found.components
    with pytest.raises(MissingFile):
        Scores.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"card": {"format": 1}}')
    with pytest.raises(FormatError, match="no clean, components"):
        Scores.load(tmp_path / "bad.json")


def test_a_circuit_holds_the_largest_edges_that_are_on_a_path():
    model = tiny_model("llama")
    found = patch(model, random_pairs(model), "eap")
    largest = sorted(found.edges, key=lambda edge: -abs(found.edges[edge]))[:40]
    assert found.circuit(40, connected=False) == frozenset(largest)
    connected = found.circuit(40)
    assert connected <= frozenset(largest)
    assert found.components.connected(connected) == connected
    one_way = frozenset({("embed", "head.0.0.q"), ("head.0.1", "logits"), ("embed", "logits")})
    assert found.components.connected(one_way) == {("embed", "logits")}
    through_group = frozenset({("embed", "head.0.0.k"), ("head.0.1", "logits")})  # key head 0 serves heads 0 and 1
    assert found.components.connected(through_group) == through_group


def test_what_means_nothing_is_refused():
    model = tiny_model("gpt2")
    pairs = random_pairs(model)
    for wrong, error, match in (
        ({"method": "eapp"}, UnknownName, "the closest are 'eap'"),
        ({"method": "eap-ig", "step": 3}, UnknownName, "no setting of 'eap-ig' is called 'step'"),
        ({"metric": "logits"}, UnknownName, "'logit difference'"),
        ({"method": "eap-ig", "steps": 0}, WrongUse, "1 step or more"),
        ({"method": "atp", "kinds": ("neuron",)}, UnknownName, "kind of node"),
        ({"method": "path", "sources": ("head.9.9",)}, UnknownName, "source"),
        ({"method": "acdc", "tau": math.nan}, WrongUse, "tau=nan"),
        ({"batch": 0}, WrongUse, "0 at a time"),
    ):
        with pytest.raises(error, match=match):
            patch(model, pairs, **wrong)
    with pytest.raises(WrongUse, match="3 and 2 tokens"):
        Pair((1, 2, 3), (1, 2), (4,), (5,))
    with pytest.raises(UnknownName, match=r"source before 'mlp\.0'"):
        kept(model, pairs, [("mlp.1", "mlp.0")])


def test_every_method_says_what_it_is():
    assert {entry.name for entry in METHODS} >= {"activation", "atp", "path", "eap", "eap-ig", "acdc"}
    for entry in METHODS:
        assert entry.summary
        generated = f"{entry.value.__name__}("  # what a dataclass without a docstring is given
        assert not str(entry.value.__doc__ or generated).startswith(generated), entry.name
