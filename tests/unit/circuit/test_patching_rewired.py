"""A pass whose readers read what their own edges bring: nothing patched changes nothing, all patched is the other run.

And one edge at a time against hooks written by hand, on a model of two layers.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from patching_cases import random_pairs

from microtome.circuit.patching.components import PARTS, components_of
from microtome.circuit.patching.patching import case_of, kept, patch
from microtome.circuit.patching.relabelling import relabelled
from microtome.core.errors import WrongUse
from tiny_models import FAMILIES, tiny_model


@pytest.fixture(scope="module", params=FAMILIES)
def case(request):
    model = tiny_model(request.param)
    return case_of(model, random_pairs(model), "logit difference", 32)[0]


def test_nothing_patched_is_the_untouched_pass_to_the_last_bit(case):
    (bench,) = case.benches()
    none = torch.zeros_like(case.components.exists)
    here = case.rewired(bench, case.absent(bench.rows, zero=False), none[None])
    assert torch.equal(here, case.measure(bench.rows))


def test_all_patched_is_the_counterfactual(case):
    (bench,) = case.benches()
    here = case.rewired(bench, case.absent(bench.rows, zero=False), case.components.exists[None])
    there = case.measure(bench.rows.turned())
    torch.testing.assert_close(here, there, rtol=0, atol=1e-5)  # RMS norms of transformers round to float32
    assert float((there - case.measure(bench.rows)).abs().min()) > 1e-3


def test_a_patched_source_reaches_nothing_before_it(case):
    """All edges out of the last MLP patched: the logits alone change, by what it changes directly."""
    last = case.components.sources[-1]
    (bench,) = case.benches()
    patched = torch.zeros_like(case.components.exists)
    patched[case.components.place((last, "logits"))] = True
    here = case.rewired(bench, case.absent(bench.rows, zero=False), patched[None])
    clean, other = case.outputs(bench.rows)
    final = case.model.run(bench.rows.clean, ["resid.final"])["resid.final"] + other[:, -1] - clean[:, -1]
    logits = case.anatomy.unembed(case.anatomy.final_norm_module(final)) * case.anatomy.settings.logit_scale
    answers = torch.stack([row[-1, pair.target[0]] - row[-1, pair.against[0]]
                           for row, pair in zip(logits, bench.rows.pairs, strict=True)])  # fmt: skip
    torch.testing.assert_close(here, answers, rtol=0, atol=1e-6)


def by_hand(model, pair, source: str, reader: str) -> float:
    """M with one edge of a GPT-2 patched, by plain hooks on its modules."""
    blocks, width = model.module.transformer.h, 12

    def writes(ids):
        seen, hooks = {}, []
        for i, block in enumerate(blocks):

            def keep(_, args, i=i):
                seen[i] = args[0]

            def mlp(_, args, out, i=i):
                seen[f"mlp.{i}"] = out

            hooks += [block.attn.c_proj.register_forward_pre_hook(keep), block.mlp.register_forward_hook(mlp)]
        hooks.append(blocks[0].register_forward_pre_hook(lambda _, args: seen.__setitem__("embed", args[0])))
        model.module(torch.tensor([ids]))
        for hook in hooks:
            hook.remove()
        if not source.startswith("head"):
            return seen[source]
        layer, head = map(int, source.split(".")[1:])
        part = slice(head * width, (head + 1) * width)
        return seen[layer][..., part] @ blocks[layer].attn.c_proj.weight[part]

    change = writes(pair.counterfactual) - writes(pair.clean)
    if reader == "logits":
        hook = model.module.transformer.ln_f.register_forward_pre_hook(lambda _, args: (args[0] + change,))
    elif reader.startswith("mlp"):
        norm = blocks[int(reader[4:])].ln_2
        hook = norm.register_forward_pre_hook(lambda _, args: (args[0] + change,))
    else:
        _, layer, head, part = reader.split(".")
        block, start = blocks[int(layer)], "qkv".index(part) * 24 + int(head) * width
        entered = []

        def project(_, args, out):
            new = out.clone()
            x = block.ln_1.forward(entered[0] + change)
            made = torch.addmm(block.attn.c_attn.bias, x[0], block.attn.c_attn.weight)
            new[0, :, start : start + width] = made[:, start : start + width]
            return new

        hooks = [block.register_forward_pre_hook(lambda _, args: entered.append(args[0])),
                 block.attn.c_attn.register_forward_hook(project)]  # fmt: skip
        logits = model.module(torch.tensor([pair.clean])).logits[0, -1]
        for one in hooks:
            one.remove()
        return float(logits[pair.target[0]] - logits[pair.against[0]])
    logits = model.module(torch.tensor([pair.clean])).logits[0, -1]
    hook.remove()
    return float(logits[pair.target[0]] - logits[pair.against[0]])


def test_every_edge_of_two_layers_is_what_hooks_by_hand_give():
    model = tiny_model("gpt2", num_hidden_layers=2, num_attention_heads=2)
    pairs = random_pairs(model, n=1)
    found = patch(model, pairs, "path", batch=7)
    assert len(found.edges) == 1 * 2 * 3 + 3 + 4 * 6 + 6 + 7
    expected = {edge: found.clean - by_hand(model, pairs[0], *edge) for edge in found.edges}
    assert max(abs(found.edges[edge] - expected[edge]) for edge in expected) < 1e-12
    assert min(map(abs, expected.values())) < max(map(abs, expected.values()))


def test_edges_of_one_source_together_are_one_rewired_pass():
    model = tiny_model("llama")
    pairs, readers = random_pairs(model, n=2), ("head.1.0.k", "mlp.2", "logits")
    found = patch(model, pairs, "path", sources=("head.0.3",), readers=readers, together=True)
    case, _ = case_of(model, pairs, "logit difference", 32)
    outside = [edge for edge in case.components.edges if edge not in {("head.0.3", reader) for reader in readers}]
    assert found.nodes["head.0.3"] == pytest.approx(found.clean - float(kept(model, pairs, outside).circuit.mean()))


def test_what_a_circuit_keeps_goes_from_nothing_to_all():
    model = tiny_model("qwen2", num_hidden_layers=2)
    pairs = random_pairs(model)
    every = case_of(model, pairs, "logit difference", 32)[0].components.edges
    whole, none, most = (kept(model, pairs, edges, draws=3).faithfulness for edges in (every, [], every[10:]))
    assert (whole.value, none.value) == (1, 0)
    assert abs(most.value - 1) > 0
    assert (whole.null.name, whole.null.draws) == ("connected", (1.0, 1.0, 1.0))  # all edges have one shape


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_circuits_of_the_same_shape_stay_connected_and_keep_their_counts(family):
    model = tiny_model(family)
    components = components_of(model.anatomy)
    rng = np.random.default_rng(0)
    value = "head.0.2.v" if family == "gpt2" else "head.0.1.v"  # there two heads share a value
    path = [("embed", value), ("head.0.2", "head.1.3.q"), ("head.1.3", "mlp.2"), ("mlp.2", "logits")]
    circuit = frozenset(path)
    assert components.connected(circuit) == circuit

    def shape(edges):
        part = {end: end[-1] if end[-1] in PARTS else "" for edge in edges for end in edge}
        return Counter(tuple((*end.split(".")[:2], part[end]) for end in edge) for edge in edges)

    drawn = [relabelled(components, circuit, rng) for _ in range(30)]
    assert all(shape(one) == shape(circuit) for one in drawn)
    assert all(components.connected(one) == one for one in drawn)
    assert len(set(drawn)) > 5
    for edge in (edge for one in drawn for edge in one):
        components.place(edge)


def test_a_circuit_without_rows_to_keep_is_refused():
    model = tiny_model("qwen2", num_hidden_layers=2)
    pair = random_pairs(model, n=1)[0]
    turned = [replace(pair, target=pair.against, against=pair.target)]
    falls = [kept(model, rows, [], draws=1) for rows in ([pair], turned)]
    rising = next(one for one in falls if float(one.clean - one.empty) <= 0)
    with pytest.raises(WrongUse, match="falls on no row"):
        _ = rising.faithfulness


def test_rows_of_several_lengths_and_small_batches_give_the_same():
    model = tiny_model("gemma3_text")
    pairs = random_pairs(model, n=3) + random_pairs(model, n=2, length=8, seed=1)
    some = {"sources": ("embed", "head.1.3"), "readers": ("mlp.1",)}
    whole, small = (patch(model, pairs, "path", batch=size, **some) for size in (40, 2))
    assert max(abs(whole.edges[edge] - small.edges[edge]) for edge in whole.edges) < 1e-6
