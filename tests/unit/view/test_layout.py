"""Layout: where nodes stand. Held to what a reader needs: right cell, no overlap, the same every time."""

from itertools import pairwise

import numpy as np
import pytest

from microtome.view.layout import POOLED, Place, place

N_ROWS, N_COLUMNS = 32, 35


@pytest.fixture
def places():
    """2,000 nodes, most of them late and on the last tokens, as in a real trace; some pooled."""
    rng = np.random.default_rng(0)
    rows = (N_ROWS * rng.beta(2, 1, 2000)).astype(int)
    columns = N_COLUMNS - 1 - np.minimum(N_COLUMNS, rng.exponential(6, 2000)).astype(int)
    return [
        Place(int(r), int(c), float(o), f"n{i}")
        for i, (r, c, o) in enumerate(zip(rows, columns, rng.random(2000), strict=True))
    ]


def test_no_two_nodes_share_a_slot(places):
    spots = place(places, n_rows=N_ROWS, n_columns=N_COLUMNS).spots
    centres = np.array([(spot.x + spot.dx, spot.y + spot.dy) for spot in spots])
    gaps = np.abs(centres[:, None] - centres[None]).max(-1) + 9 * np.eye(len(centres))
    assert gaps.min() > 0.99


def test_every_node_stands_within_its_row_and_column(places):
    layout = place(places, n_rows=N_ROWS, n_columns=N_COLUMNS)
    columns, rows = {b.index: b for b in layout.columns}, {b.index: b for b in layout.rows}
    for node, spot in zip(places, layout.spots, strict=True):
        column, row = columns[node.column], rows[node.row]
        assert column.start <= spot.x + spot.dx - 0.49
        assert spot.x + spot.dx + 0.49 <= column.start + column.extent
        assert row.start <= spot.y + spot.dy - 0.49
        assert spot.y + spot.dy + 0.49 <= row.start + row.extent


def test_bands_follow_each_other_without_overlap(places):
    layout = place(places, n_rows=N_ROWS, n_columns=N_COLUMNS)
    assert [band.index for band in layout.columns] == [POOLED, *range(N_COLUMNS)]
    assert [band.index for band in layout.rows] == list(range(N_ROWS))
    for bands, end in ((layout.columns, layout.width), (layout.rows, layout.height)):
        for before, after in pairwise(bands):
            assert after.start > before.start + before.extent
        assert end == bands[-1].start + bands[-1].extent


def test_the_order_in_which_nodes_are_given_does_not_matter(places):
    straight = place(places, n_rows=N_ROWS, n_columns=N_COLUMNS).spots
    turned = place(places[::-1], n_rows=N_ROWS, n_columns=N_COLUMNS).spots
    assert straight == turned[::-1]


def test_the_picture_of_2000_nodes_is_small_enough_to_see(places):
    layout = place(places, n_rows=N_ROWS, n_columns=N_COLUMNS)
    assert layout.width < 190  # at 1,000 pixels a node still has 5 of them
    assert layout.height < 190


def test_worked_out_by_hand():
    """Five nodes in one cell, three across: two lines, the largest first; the other row is thin."""
    cell = [Place(1, 0, float(order), name) for order, name in [(1, "a"), (5, "b"), (4, "c"), (3, "d"), (2, "e")]]
    layout = place(cell, n_rows=2, n_columns=2)
    assert [(band.start, band.extent) for band in layout.columns] == [(0.0, 3), (3.7, 1.5)]
    assert [(band.start, band.extent) for band in layout.rows] == [(0.0, 0.15), (0.85, 2)]
    assert {node.id: (spot.dx, spot.dy) for node, spot in zip(cell, layout.spots, strict=True)} == {
        "b": (-1, 0.5),
        "c": (0, 0.5),
        "d": (1, 0.5),
        "e": (-0.5, -0.5),
        "a": (0.5, -0.5),
    }
    assert {(spot.x, spot.y) for spot in layout.spots} == {(1.5, 1.85)}


def test_a_run_of_empty_layers_is_folded_and_a_short_one_is_not():
    few = [Place(row, 0, 1.0, f"n{row}") for row in (0, 3, 9, 20)]
    layout = place(few, n_rows=21, n_columns=1)
    assert [(band.index, band.last) for band in layout.rows] == [
        (0, 0), (1, 1), (2, 2), (3, 3), (4, 8), (9, 9), (10, 19), (20, 20),
    ]  # fmt: skip
    assert layout.height < 12
    rows = {band.index: band for band in layout.rows}
    for node, spot in zip(few, layout.spots, strict=True):
        assert spot.y == pytest.approx(rows[node.row].start + 0.5)


def test_a_column_is_as_wide_as_the_nodes_it_holds_ask():
    crowd = [Place(1, 0, float(number), f"n{number}") for number in range(50)]
    layout = place([*crowd, Place(1, 1, 0.0, "alone")], n_rows=3, n_columns=3)
    crowded, alone, empty = (band.extent for band in layout.columns)
    assert crowded > 5 * alone
    assert alone == empty == 1.5
    assert layout.rows[1].extent < crowded
