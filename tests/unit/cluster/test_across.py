"""The choice of the largest over ranks is that of one process, ties included, however the table is divided."""

from itertools import product

import pytest
import torch

from microtome.cluster.across import AcrossRanks
from microtome.cluster.collectives import average, gathered_lists, shared, summed
from microtome.cluster.mesh import joined
from microtome.cluster.parts import part
from microtome.core.across import Alone
from several_ranks import on_ranks

ROWS, COLUMNS = 8, 22
MESHES = [(2, 2), (4, 4), (4, 2), (4, 1)]  # processes, of which columns
TAKEN = (1, 5, 40)


def tables() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    scores = torch.randn(ROWS, COLUMNS, generator=random)
    return {
        "all different": scores,
        "in double": scores.double(),
        "many equal": (scores * 2).round(),
        "all equal": torch.ones_like(scores),
        "none above zero": -scores.abs(),
        "minus zero": scores.where(scores.abs() > 1, -0.0),
        "one column": scores.where(torch.arange(COLUMNS) == COLUMNS - 1, -1.0),
    }


def chosen_here(columns: int) -> list[list[list[list[bool]]]]:
    with joined(columns) as mesh:
        rows = part(ROWS, mesh.row_rank, mesh.rows)
        own = part(COLUMNS, mesh.column_rank, mesh.columns)
        across, found = AcrossRanks(mesh), []
        places = torch.arange(len(rows))[:, None] * COLUMNS + torch.arange(own.start, own.stop)
        for table, k in product(tables().values(), TAKEN):
            mine = table[rows.start : rows.stop, own.start : own.stop]
            in_all = across.largest_of_all(mine.flatten(), places.flatten(), k * ROWS)
            found.append([across.largest(mine, k).tolist(), in_all.view_as(mine).tolist()])
        return found


@pytest.mark.parametrize("ranks, columns", MESHES)
def test_the_largest_are_those_of_one_process(ranks, columns, tmp_path):
    told = on_ranks(ranks, tmp_path, chosen_here, columns)
    for number, (name, k) in enumerate(product(tables(), TAKEN)):
        table = tables()[name]
        places = torch.arange(ROWS * COLUMNS)
        expected = [Alone().largest(table, k), Alone().largest_of_all(table.flatten(), places, k * ROWS).view_as(table)]
        for kind in (0, 1):
            parts = [torch.tensor(rank[number][kind]) for rank in told]
            rows = [torch.cat(parts[start : start + columns], 1) for start in range(0, ranks, columns)]
            assert torch.equal(torch.cat(rows), expected[kind]), (name, k, kind)


def test_of_equal_ones_the_first_are_taken():
    level = Alone().largest(torch.ones(2, 5), 3)
    assert level.tolist() == [[True, True, True, False, False]] * 2
    assert Alone().largest_of_all(torch.ones(4), torch.arange(4), 3).tolist() == [True, True, True, False]
    scores = torch.tensor([[3.0, 1.0, 2.0, 1.0]])
    assert Alone().largest(scores, 3).tolist() == [[True, True, True, False]]
    assert Alone().largest_of_all(-scores[0], torch.arange(4), 4).any().item() is False


def sums() -> dict[str, object]:
    with joined(columns=2) as mesh:
        rank = mesh.row_rank * 2 + mesh.column_rank
        across = AcrossRanks(mesh)
        x = torch.full((3,), float(rank + 1), requires_grad=True)
        total = summed(x, mesh.same_rows)
        (total * 2).sum().backward()
        y = torch.ones(3, requires_grad=True)
        (shared(y, mesh.same_rows) * (rank + 1)).sum().backward()
        many = [torch.full((2, 2), float(rank)), torch.tensor(float(rank * 10))]
        average(many, mesh.same_columns)
        assert x.grad is not None
        assert y.grad is not None
        return {
            "total": total.tolist(), "x": x.grad.tolist(), "y": y.grad.tolist(), "mean": many[0].tolist(),
            "mean of 10": many[1].item(), "any": across.any(torch.tensor(rank == 3)),
            "least": across.least(torch.tensor(float(rank))).item(),
            "lists": [one.tolist() for one in gathered_lists(torch.arange(rank), mesh.everyone)],
            "first": mesh.is_first,
        }  # fmt: skip


def test_sums_and_their_gradients(tmp_path):
    told = on_ranks(4, tmp_path, sums)
    assert [one["total"][0] for one in told] == [3, 3, 7, 7]
    assert all(one["x"] == [2.0] * 3 for one in told)
    assert [one["y"][0] for one in told] == [3, 3, 7, 7]
    assert [one["mean"][0][0] for one in told] == [1, 2, 1, 2]
    assert [one["mean of 10"] for one in told] == [10, 20, 10, 20]
    assert [one["any"] for one in told] == [False, False, True, True]
    assert [one["least"] for one in told] == [0.0] * 4
    assert told[0]["lists"] == [[], [0], [0, 1], [0, 1, 2]]
    assert [one["first"] for one in told] == [True, False, False, False]
