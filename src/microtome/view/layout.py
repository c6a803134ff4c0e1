"""Where the nodes of a graph stand: tokens along x, layers up y, a small grid in each cell.

A cell's nodes are packed into slots of one unit. A column is as wide as its fullest cell asks, a row as high
as its fullest cell then needs, and a run of empty layers is folded into one thin band that says which they
are: 2,000 nodes, most of them late and on the last token, fill the picture instead of piling up in one
corner, and six do not get lost in it. Nothing here is random.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

GAP = 0.7  # between columns and between rows, in slots
NARROWEST = 1.5  # slots of a column: each has a token to name below it
FLATNESS = 1.6  # a full cell is so many times wider than high: pages are wide, and layers many
EMPTY = 0.15  # height of a row in which no node stands
FOLDED = 0.6  # height of a run of such rows, folded
FEWEST_FOLDED = 3  # rows of a run that is worth folding
POOLED = -1  # the column of nodes that belong to no position


@dataclass(frozen=True)
class Place:
    """What the layout needs of a node: its cell, and what orders it within.

    Attributes:
        row: 0 for embeddings, layer + 1 for units, n_layers + 1 for logits.
        column: the token position, or POOLED.
        order: nodes of a cell stand by this, largest first.
        id: breaks ties.
    """

    row: int
    column: int
    order: float
    id: str


@dataclass(frozen=True)
class Band:
    """One row or column, or a folded run of empty rows: where it begins and how far it reaches, in slots.

    Attributes:
        index: of the row or column; of a run, the first.
        last: the last of a run; else the same as `index`.
        start, extent: in slots.
    """

    index: int
    last: int
    start: float
    extent: float


@dataclass(frozen=True)
class Spot:
    """Where a node stands: the centre of its cell, and its place in the cell's grid around that centre.

    Kept apart, so that a page with few tokens can spread its columns without tearing their cells apart.
    """

    x: float
    y: float
    dx: float
    dy: float


@dataclass(frozen=True)
class Layout:
    """Spots of the nodes in slots, the origin at the lower left, and the bands they stand in."""

    spots: list[Spot]
    columns: list[Band]
    rows: list[Band]
    width: float
    height: float


def place(places: Sequence[Place], *, n_rows: int, n_columns: int) -> Layout:
    """Lays out nodes, given in any order; the spots come back in the order given."""
    columns, rows = _columns_and_rows(places, n_rows, n_columns)
    by_cell: dict[tuple[int, int], list[int]] = {}
    for number, node in enumerate(places):
        by_cell.setdefault((node.row, node.column), []).append(number)
    spots = [Spot(0.0, 0.0, 0.0, 0.0)] * len(places)
    column_of, row_of = {band.index: band for band in columns}, {band.index: band for band in rows}
    for (row, column), members in by_cell.items():
        members.sort(key=lambda number: (-places[number].order, places[number].id))
        for number, spot in zip(members, _grid(len(members), column_of[column], row_of[row]), strict=True):
            spots[number] = spot
    return Layout(spots, columns, rows, _end(columns), _end(rows))


def _columns_and_rows(places: Sequence[Place], n_rows: int, n_columns: int) -> tuple[list[Band], list[Band]]:
    filled = Counter((node.row, node.column) for node in places)
    pooled = [POOLED] if any(node.column == POOLED for node in places) else []
    widths = dict.fromkeys([*pooled, *range(n_columns)], NARROWEST)
    for (_, column), count in filled.items():
        across = math.ceil(math.sqrt(FLATNESS * count)) if count > 1 else 1
        widths[column] = max(widths[column], float(across))
    heights = dict.fromkeys(range(n_rows), EMPTY)
    for (row, column), count in filled.items():
        heights[row] = max(heights[row], float(math.ceil(count / widths[column])))
    columns = [(column, column, width) for column, width in widths.items()]
    return _bands(columns), _bands(_folded(heights))


def _folded(heights: dict[int, float]) -> Iterator[tuple[int, int, float]]:
    """First row, last row and height of each band: long runs of empty rows become one."""
    for empty, run in groupby(heights.items(), key=lambda row: row[1] == EMPTY):
        rows = list(run)
        if empty and len(rows) >= FEWEST_FOLDED:
            yield rows[0][0], rows[-1][0], FOLDED
        else:
            yield from ((row, row, height) for row, height in rows)


def _bands(extents: Iterable[tuple[int, int, float]]) -> list[Band]:
    bands, start = [], 0.0
    for index, last, extent in extents:
        bands.append(Band(index, last, round(start, 4), extent))
        start += extent + GAP
    return bands


def _end(bands: list[Band]) -> float:
    return bands[-1].start + bands[-1].extent if bands else 0.0


def _grid(count: int, column: Band, row: Band) -> list[Spot]:
    """Spots for `count` nodes, filled line by line from the top, each line centred, all centred in the cell."""
    across = int(column.extent)
    lines = math.ceil(count / across)
    x, y = round(column.start + column.extent / 2, 4), round(row.start + row.extent / 2, 4)
    spots = []
    for number in range(count):
        line, at = divmod(number, across)
        in_line = min(across, count - line * across)
        spots.append(Spot(x, y, at - (in_line - 1) / 2, (lines - 1) / 2 - line))
    return spots
