"""The graph: nodes where they were computed, and the weighted direct edges between them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from microtome.core import fingerprint
from microtome.view.fields import Fields
from microtome.view.layout import POOLED, Band, Place, place
from microtome.view.panel import PANELS, Data, Panel
from microtome.view.rows import rows_of
from microtome.view.tokens import plain, visible

KINDS = ("embedding", "position", "unit", "head", "mlp", "bias", "error", "logit")
SHARE_SLACK = 1e-6  # influence is a sum of shares in float32


def graph_panel(graph: Data) -> Data:
    """Nodes with their places and numbers, edges by the index of their ends.

    Raises:
        FormatError: two nodes share an id, an edge ends nowhere, a number is not finite, a node stands at a
            layer or position that the prompt does not have.
    """
    fields = Fields(graph, "graph")
    tokens, n_layers = fields.texts("tokens"), fields.whole("n_layers")
    nodes = fields.parts("nodes")
    places = [_place(node, n_layers, len(tokens)) for node in nodes]
    layout = place(places, n_rows=n_layers + 2, n_columns=len(tokens))
    index = _index(nodes)
    laid_out = zip(nodes, places, layout.spots, strict=True)
    shown = [_node(node, at, tokens) | asdict(spot) for node, at, spot in laid_out]
    edges = [_edge(edge, index, n_layers) for edge in fields.parts("edges")]
    return {
        "fingerprint": _identity(fields, shown),
        "basis": plain(fields.text("basis")),
        "compared": fields.row.get("counterfactual_tokens") is not None,
        "nodes": shown,
        "edges": edges,
        "summary": rows_of(fields.part("summary")),
        "width": layout.width,
        "height": layout.height,
        "columns": [_column(band, tokens) for band in layout.columns],
        "rows": [_row(band, n_layers) for band in layout.rows],
    }


def _place(node: Fields, n_layers: int, n_tokens: int) -> Place:
    kind, layer, position = node.text("kind"), node.maybe(Fields.whole, "layer"), node.maybe(Fields.whole, "position")
    if kind not in KINDS:
        node.refuse("kind", f"{kind!r}, which is none of {', '.join(KINDS)}")
    if layer is not None and not 0 <= layer <= n_layers:
        node.refuse("layer", f"{layer}, but the layers are 0 to {n_layers - 1}, and {n_layers} for logits")
    if position is not None and not 0 <= position < n_tokens:
        node.refuse("position", f"{position}, but the positions are 0 to {n_tokens - 1}")
    row = 0 if layer is None else layer + 1
    return Place(row, POOLED if position is None else position, node.number("influence"), node.text("id"))


def _index(nodes: list[Fields]) -> dict[str, int]:
    index: dict[str, int] = {}
    for number, node in enumerate(nodes):
        name = node.text("id")
        if name in index:
            node.refuse("id", f"{name!r}, which graph.nodes[{index[name]}] carries too")
        index[name] = number
    return index


def _node(node: Fields, at: Place, tokens: list[str]) -> dict[str, Any]:
    influence = node.number("influence")
    if not -SHARE_SLACK <= influence <= 1 + SHARE_SLACK:
        node.refuse("influence", f"{influence}, which is no share between 0 and 1")
    moves = _vocabulary(node, "moves")
    return {
        "id": at.id,
        "kind": node.text("kind"),
        "layer": node.maybe(Fields.whole, "layer"),
        "position": node.maybe(Fields.whole, "position"),
        "unit": node.maybe(Fields.whole, "unit"),
        "label": plain(node.text("label")),
        "token": "" if at.column == POOLED else visible(tokens[at.column]),
        "value": node.number("value"),
        "counterfactual_value": node.maybe(Fields.number, "counterfactual_value"),
        "attribution": node.number("attribution"),
        "influence": influence,
        "remainder": node.number("remainder"),
        "nonlinear": node.maybe(Fields.number, "nonlinear"),
        "direct": node.number("direct"),
        "promotes": [one for one in moves if one[1] > 0],
        "suppresses": [one for one in moves if one[1] < 0],
    }


def _vocabulary(node: Fields, key: str) -> list[tuple[str, float]]:
    pairs = []
    for pair in node.items(key):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            node.refuse(key, f"{pair!r}, which is no [token, weight]")
        entry = Fields({"token": pair[0], "weight": pair[1]}, f"{node.where}.{key}")
        pairs.append((visible(entry.text("token")), entry.number("weight")))
    return pairs


def _edge(edge: Fields, index: dict[str, int], n_layers: int) -> list[Any]:
    """`[source, target, weight, residual, [[layer, head, weight], …], side]`: 10,000 rows, so without names."""
    ends = []
    for key in ("source", "target"):
        if edge.text(key) not in index:
            edge.refuse(key, f"{edge.text(key)!r}, and no node has that id")
        ends.append(index[edge.text(key)])
    side = None if edge.row.get("side") is None else plain(edge.text("side"))
    return [*ends, edge.number("weight"), edge.maybe(Fields.number, "residual"), _heads(edge, n_layers), side]


def _heads(edge: Fields, n_layers: int) -> list[tuple[int, int, float]]:
    heads = []
    for head in edge.items("heads"):
        if not isinstance(head, (list, tuple)) or len(head) != 3:
            edge.refuse("heads", f"{head!r}, which is no [layer, head, weight]")
        entry = Fields(dict(zip(("layer", "head", "weight"), head, strict=True)), f"{edge.where}.heads")
        if not 0 <= entry.whole("layer") < n_layers:
            entry.refuse("layer", f"{entry.whole('layer')}, but the layers are 0 to {n_layers - 1}")
        heads.append((entry.whole("layer"), entry.whole("head"), entry.number("weight")))
    return heads


def _identity(fields: Fields, shown: list[dict[str, Any]]) -> str:
    """Same question, same model, same nodes: groups that were made then still fit."""
    card = fields.row.get("card") or {}
    asked = [plain(fields.text("prompt")), *(visible(token) for token in fields.texts("target"))]
    return fingerprint.of_value([asked, card.get("model"), sorted(plain(node["id"]) for node in shown)])


def _column(band: Band, tokens: list[str]) -> dict[str, Any]:
    label = "any" if band.index == POOLED else visible(tokens[band.index])
    return {"label": label, "position": band.index, "start": band.start, "extent": band.extent}


def _row(band: Band, n_layers: int) -> dict[str, Any]:
    named = {0: "embed", n_layers + 1: "logits"}
    ends = dict.fromkeys(named.get(row, str(row - 1)) for row in (band.index, band.last))
    return {
        "label": "–".join(ends),
        "folded": band.last > band.index,
        "start": band.start,
        "extent": band.extent,
    }


PANELS.add(
    "graph",
    Panel("The graph", 20, ("graph",), graph_panel, Path(__file__).with_suffix(".js")),
    summary="nodes by token and layer, with weighted edges",
    home=__name__,
)
