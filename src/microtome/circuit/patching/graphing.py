"""Scores of patching as the graph that everything else takes: heads, MLPs and the edges between them, over a task."""

from collections.abc import Collection
from typing import cast

import numpy as np

from microtome.circuit.graph import FORMAT, Edge, Graph, Kind, Node, Side
from microtome.circuit.influence import Shares
from microtome.circuit.patching.components import Components
from microtome.circuit.patching.components import Edge as Pair
from microtome.circuit.patching.scores import Scores

SIDES: dict[str, Side] = {"q": "query", "k": "key"}
IDS = {"embed": "embedding", "logits": "logit"}


def graph_of(scores: Scores, edges: Collection[Pair]) -> Graph:
    """The graph of some edges, pooled over positions; of scores without edges, of their nodes.

    A key or a value that several heads share stands as an edge to each of them, with its score in equal parts.

    Args:
        scores: from `patch`.
        edges: which are drawn.
    """
    drawn = [one for pair in edges for one in _edges(scores.components, pair, scores.edges[pair])]
    names = {end for edge in drawn for end in (edge.source, edge.target)} if scores.edges else {*map(_id, scores.nodes)}
    attributions = {_id(name): score for name, score in scores.nodes.items()}
    order = [_id(name) for name in (*scores.components.sources, "logits") if _id(name) in {*names, "logit"}]
    order += sorted(names - {*order})
    carried = _influence(order, drawn, attributions)
    nodes = tuple(_node(scores, name, attributions.get(name, 0.0), carried[name]) for name in order)
    task = scores.card["data"].get("task", "rows given as token ids")
    config = {**scores.card["config"], "basis": "heads and MLPs"}
    return Graph(
        prompt=f"task {task}", counterfactual=None, tokens=(), counterfactual_tokens=None, ids=(),
        counterfactual_ids=None, target=("the answers",), against=("their rivals",), target_ids=(), against_ids=(),
        target_position=-1, value=scores.clean, counterfactual_value=scores.other, n_layers=scores.components.n_layers,
        blocks=(), nodes=nodes, edges=tuple(sorted(drawn, key=lambda edge: -abs(edge.weight))), ranking=(),
        summary_numbers={"candidates": len(scores.edges or scores.nodes), "drawn_nodes": len(nodes),
                         "drawn_edges": len(drawn), "prompts": scores.card["data"].get("rows", 0)},
        card={**scores.card, "kind": "graph", "format": FORMAT, "config": config},
    )  # fmt: skip


def _id(name: str) -> str:
    return IDS.get(name, name)


def _edges(components: Components, pair: Pair, score: float) -> list[Edge]:
    source, reader = pair
    owners, part = components.owners(reader), reader.rpartition(".")[2]
    return [Edge(_id(source), _id(owner), score / len(owners), side=SIDES.get(part)) for owner in owners]


def _influence(order: list[str], edges: list[Edge], attributions: dict[str, float]) -> dict[str, float]:
    """Shares of the target through the drawn paths; without edges, shares of what all nodes bring."""
    if not edges:
        whole = sum(map(abs, attributions.values())) or 1.0
        return {name: abs(attributions.get(name, 0.0)) / whole for name in order}
    place = {name: i for i, name in enumerate(order)}
    weights = np.zeros((len(order), len(order)))
    for edge in edges:
        weights[place[edge.target], place[edge.source]] += abs(edge.weight)
    start = np.zeros(len(order))
    start[place["logit"]] = 1.0
    found = Shares.of(weights, np.arange(len(order)), start).influence + start
    return {name: float(min(found[i], 1.0)) for name, i in place.items()}


def _node(scores: Scores, name: str, attribution: float, share: float) -> Node:
    first, *numbers = name.split(".")
    kind = cast(Kind, first)
    layer = int(numbers[0]) if numbers else (scores.components.n_layers if kind == "logit" else None)
    unit = int(numbers[1]) if len(numbers) > 1 else None
    labels = {"head": f"head {'.'.join(numbers)}", "mlp": f"MLP {'.'.join(numbers)}", "unit": f"L{layer} unit {unit}"}
    is_logit = kind == "logit"
    return Node(
        id=name, kind=kind, layer=layer, position=None, unit=unit, label=labels.get(kind, kind),
        value=scores.clean if is_logit else attribution, counterfactual_value=scores.other if is_logit else None,
        attribution=scores.clean - scores.other if is_logit else attribution, influence=share, remainder=0.0,
        nonlinear=None,
    )  # fmt: skip
