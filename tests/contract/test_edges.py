"""Direct edges on every family: each row sums to its value, and each edge is what autograd finds.

Autograd runs the untouched module with its nonlinearities held and its MLPs cut: the gradient of one
unit's frozen read with respect to what another unit writes is their edge, by a path that shares no code
with the operator.
"""

import pytest
import torch

from microtome.circuit.bases.neurons import NEURONS
from microtome.circuit.change import change
from microtome.circuit.cutting import cut
from microtome.circuit.edges import (
    Chosen,
    carried_down,
    carried_up,
    direct_edges,
    from_embeddings,
    from_units,
    read_vectors,
)
from microtome.circuit.loadings import head_loadings
from microtome.circuit.operator import LinearOperator
from microtome.circuit.target import TokenTarget
from microtome.model.frozen import freeze
from microtome.model.replay import replay
from tiny_models import FAMILIES

TARGET = TokenTarget((5, 8), ("a", "b"), (6,), ("c",))
N_TOKENS = 9


@pytest.fixture(params=sorted(FAMILIES))
def prompts(request, tiny):
    model = tiny(request.param)
    ids = torch.randint(3, 97, (1, N_TOKENS), generator=torch.Generator().manual_seed(1))
    other = ids.clone()
    other[0, 3] = 3 + (other[0, 3] + 5) % 90
    other[0, 6] = 3 + (other[0, 6] + 7) % 90
    return cut(NEURONS, freeze(model, ids), freeze(model, other))


def chosen_units(clean, n=120):
    draw = torch.Generator().manual_seed(0)
    cells = [
        torch.cartesian_prod(torch.tensor([i]), torch.arange(3, N_TOKENS), torch.arange(layer.n_units))
        for i, layer in enumerate(clean.blocks)
    ]
    rows = torch.cat(cells)
    return Chosen(*rows[torch.randperm(len(rows), generator=draw)[:n].sort().values].T)


@pytest.mark.parametrize("against", [False, True], ids=["values", "differences"])
def test_rows_sum_to_their_values(prompts, against):
    clean, other = prompts
    flow = change(clean, other if against else None, TARGET)
    matrix = direct_edges(clean, flow, TARGET, chosen_units(clean))
    assert matrix.imbalance().max() < 1e-12
    assert matrix.remainder.abs().max() > 1e-3


def test_edges_equal_autograd(prompts):
    clean, _ = prompts
    chosen = chosen_units(clean)
    matrix = direct_edges(clean, change(clean, None, TARGET), TARGET, chosen)
    embed = clean.frozen.embed.clone().requires_grad_()
    passed = replay(clean.frozen, embed, cut=True)
    last = len(clean.blocks) - 1
    checked = [int(i) for i in chosen.at(last)[:4]] + [int(i) for i in chosen.at(last - 1)[:4]]
    for row in checked:
        layer, position, unit = (int(x[row]) for x in (chosen.blocks, chosen.positions, chosen.units))
        sources = [passed.sources[i] for i in range(layer)]
        read = passed.units[layer][position, unit]
        grads = torch.autograd.grad(read, sources, retain_graph=True, allow_unused=True, materialize_grads=True)
        for i, grad in enumerate(grads):
            here = chosen.at(i)
            where = chosen.positions[here], chosen.units[here]
            expected = grad[where] * clean.blocks[i].values[where]
            assert (matrix.units[row, here] - expected).abs().max() < 1e-10


def test_a_forgotten_unit_shows(prompts):
    """The sum is a test: a matrix that lost one edge no longer balances."""
    clean, _ = prompts
    matrix = direct_edges(clean, change(clean, None, TARGET), TARGET, chosen_units(clean))
    row, column = divmod(int(matrix.units.abs().argmax()), matrix.units.shape[1])
    matrix.units[row, column] = 0
    assert matrix.imbalance()[row] > 1e-6


def test_heads_and_the_direct_path_make_up_each_edge(prompts):
    clean, _ = prompts
    chosen, flow = chosen_units(clean), change(clean, None, TARGET)
    matrix = direct_edges(clean, flow, TARGET, chosen)
    readers, sources = read_vectors(clean, TARGET, chosen), from_units(clean, flow, chosen)
    rows, columns = torch.unravel_index(matrix.units.abs().flatten().topk(300).indices, matrix.units.shape)
    sources, reading = sources.take(columns), readers.take(rows)
    loadings = head_loadings(LinearOperator(clean), readers, sources, rows)
    direct = (sources.vectors * reading.vectors).sum(1) * (sources.positions == reading.positions)
    assert (loadings.abs().sum((1, 2)) > 0).any()
    torch.testing.assert_close(loadings.sum((1, 2)) + direct, matrix.units[rows, columns], rtol=0, atol=1e-10)


@pytest.mark.parametrize("start", [0, 4])
def test_down_is_the_transpose_of_up(prompts, start):
    """The same edges, whether what was written is carried to the readers or read vectors to the writers."""
    clean, _ = prompts
    chosen, flow = chosen_units(clean), change(clean, None, TARGET)
    operator, readers = LinearOperator(clean, start), read_vectors(clean, TARGET, chosen)
    late = Chosen(*(x[chosen.positions >= start] for x in (chosen.blocks, chosen.positions, chosen.units)))
    sources = from_units(clean, flow, late)
    up, down = (carried(operator, readers, sources) for carried in (carried_up, carried_down))
    torch.testing.assert_close(up, down, rtol=0, atol=1e-12)
    assert up.abs().max() > 1e-3


def test_pull_gives_what_writing_anywhere_below_would_do(prompts):
    clean, _ = prompts
    chosen, flow = chosen_units(clean), change(clean, None, TARGET)
    matrix = direct_edges(clean, flow, TARGET, chosen)
    readers, sources = read_vectors(clean, TARGET, chosen), from_units(clean, flow, chosen)
    rows = chosen.at(len(clean.blocks) - 1)
    pulled = LinearOperator(clean).pull(len(clean.blocks) - 1, readers.positions[rows], readers.vectors[rows])
    for below, there in enumerate(pulled):
        here = chosen.at(below)
        here = here[chosen.positions[here] < there.shape[1]]
        met = (there[:, chosen.positions[here]] * sources.vectors[here]).sum(-1)
        torch.testing.assert_close(met, matrix.units[rows[:, None], here], rtol=0, atol=1e-10)
    embeds = from_embeddings(flow)
    assert (embeds.stops == 0).all()
    torch.testing.assert_close(embeds.vectors[:N_TOKENS], flow.embed, rtol=0, atol=0)
