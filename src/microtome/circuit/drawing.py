"""From the full edge matrix to the graph that is drawn: influence, pruning, labels."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from microtome.circuit.edges import read_vectors, written
from microtome.circuit.graph import FORMAT, Edge, Graph, Node
from microtome.circuit.influence import Kept, influence, prune, shares
from microtome.circuit.loadings import head_loadings, strongest
from microtome.circuit.operator import LinearOperator
from microtome.core.artefact import RunCard
from microtome.model.looks import token_text

if TYPE_CHECKING:
    from microtome.circuit.trace import TraceConfig, Traced

TOKENS_SHOWN = 6
HEADS_SHOWN = 4
EDGES_WITH_HEADS = 500
"""Only the strongest edges are split by heads: the split costs as much as the edge itself."""


def draw(traced: "Traced", basis: str, config: "TraceConfig") -> Graph:
    """Prunes by influence and names what is left."""
    matrix = traced.matrix
    n, sources = len(traced.chosen), matrix.linear.shape[1]
    logit = sources + 2
    full = np.pad(matrix.terms.cpu().numpy(), ((0, 0), (0, 1)))
    rows = np.array([*range(n), logit])
    start = np.zeros(logit + 1)
    start[logit] = 1.0
    share = shares(full)
    always = np.zeros(logit + 1, bool)
    always[n : n + matrix.embeddings] = True
    always[logit] = True
    never = np.zeros(logit + 1, bool)
    never[sources:logit] = True
    kept = prune(share, rows, start, always, never, node_share=config.node_share, edge_share=config.edge_share)
    kept = Kept(kept.nodes, _strongest_edges(full, kept.edges, config.most_edges))
    carried = influence(share, rows, start) + start
    nodes = _nodes(traced, full, kept, carried)
    return _assemble(traced, basis, config, nodes, _edges(traced, full, kept, nodes), kept)


def _strongest_edges(full: np.ndarray, edges: np.ndarray, most: int) -> np.ndarray:
    """The largest of the kept edges, so that a page stays readable."""
    weights = np.abs(full[edges])
    if len(weights) <= most:
        return edges
    return edges & (np.abs(full) >= np.partition(weights, -most)[-most])


def _nodes(traced: "Traced", full: np.ndarray, kept: Kept, carried: np.ndarray) -> dict[int, Node]:
    """Drawn nodes by column; what their pruned sources gave is folded into their remainders."""
    n, p = len(traced.chosen), traced.matrix.embeddings
    sources = full.shape[1] - 3
    found: dict[int, Node] = {}
    for column in np.flatnonzero(kept.nodes).tolist():
        if column < n:
            node = _unit(traced, column)
        elif column < n + p:
            node = _token(traced, column - n)
        elif column < sources:
            node = _constant(traced, column - n - p)
        else:
            node = _logit(traced)
        row = column if column < n else n if column == sources + 2 else None
        remainder, nonlinear = 0.0, None
        if row is not None:
            pruned = full[row, :sources] * ~kept.edges[row, :sources]
            remainder = float(full[row, sources] + pruned.sum())
            nonlinear = float(full[row, sources + 1]) if traced.flow.against else None
        found[column] = replace(
            node, influence=float(min(carried[column], 1.0)), remainder=remainder, nonlinear=nonlinear
        )
    return _told(traced, found)


def _node(**known: Any) -> Node:
    blank = {"layer": None, "position": None, "unit": None, "counterfactual_value": None, "attribution": 0.0}
    return Node(**{**blank, "influence": 0.0, "remainder": 0.0, "nonlinear": None, **known})


def _unit(traced: "Traced", column: int) -> Node:
    chosen, question = traced.chosen, traced.question
    layer, position, unit = (int(x[column]) for x in (chosen.layers, chosen.positions, chosen.units))
    other = question.other
    return _node(
        id=f"unit.{layer}.{position}.{unit}",
        kind="unit",
        layer=layer,
        position=position,
        unit=unit,
        label=f"L{layer} unit {unit}",
        value=float(question.clean.layers[layer].neurons[position, unit]),
        counterfactual_value=None if other is None else float(other.layers[layer].neurons[position, unit]),
        attribution=float(traced.scores[layer, position, unit]),
    )


def _token(traced: "Traced", position: int) -> Node:
    text = token_text(traced.question.model, traced.question.clean.ids[position])
    against = None if traced.question.other is None else 1.0
    return _node(
        id=f"embedding.{position}",
        kind="embedding",
        position=position,
        label=text,
        value=1.0,
        counterfactual_value=against,
        attribution=float(traced.embed_scores[position]),
    )


def _constant(traced: "Traced", index: int) -> Node:
    places = traced.matrix.learned
    if index < places:
        return _node(id=f"position.{index}", kind="position", position=index, label=f"position {index}", value=1.0)
    layer = index - places
    return _node(id=f"bias.{layer}", kind="bias", layer=layer, label=f"biases of layer {layer}", value=1.0)


def _logit(traced: "Traced") -> Node:
    question, target = traced.question, traced.question.target
    against = " or ".join(target.against_texts) or "mean"
    value = float(target.read(question.clean.normed[target.position], question.clean.anatomy))
    other = question.other
    return _node(
        id="logit",
        kind="logit",
        layer=len(question.clean.layers),
        position=target.position % question.clean.n_positions,
        label=f"{' or '.join(target.texts)} − {against}",
        value=value,
        counterfactual_value=None
        if other is None
        else float(target.read(other.normed[target.position], other.anatomy)),
        attribution=traced.flow.target,
    )


def _told(traced: "Traced", nodes: dict[int, Node]) -> dict[int, Node]:
    """Adds to each unit the tokens that its write raises and lowers most, at the target's norm scale."""
    n = len(traced.chosen)
    columns = [column for column in nodes if column < n]
    if not columns:
        return nodes
    frozen, target = traced.question.clean, traced.question.target
    writes = _writes(traced, torch.tensor(columns))
    norm, scale = frozen.anatomy.final_norm, frozen.final_scale[target.position]
    told = dict(nodes)
    for part in torch.arange(len(columns)).split(64):
        logits = norm.push(writes[part], scale) @ frozen.anatomy.w_u.T
        high, low = logits.topk(TOKENS_SHOWN), (-logits).topk(TOKENS_SHOWN)
        for row, i in enumerate(part.tolist()):
            told[columns[i]] = replace(
                nodes[columns[i]],
                promotes=_named(traced, high.indices[row], high.values[row]),
                suppresses=_named(traced, low.indices[row], -low.values[row]),
            )
    return told


def _named(traced: "Traced", ids: Tensor, weights: Tensor) -> tuple[tuple[str, float], ...]:
    model = traced.question.model
    return tuple((token_text(model, i), w) for i, w in zip(ids.tolist(), weights.tolist(), strict=True))


def _writes(traced: "Traced", columns: Tensor) -> Tensor:
    """What units wrote at their clean values, `[k, d]`."""
    chosen, layers = traced.chosen, traced.question.clean.layers
    found = layers[0].stream.new_zeros(len(columns), layers[0].stream.shape[1])
    for index in chosen.layers[columns].unique().tolist():
        here = chosen.layers[columns] == index
        positions, units = chosen.positions[columns[here]], chosen.units[columns[here]]
        amounts = layers[index].neurons[positions, units]
        found[here] = traced.basis.write(layers[index], positions, units) * amounts[:, None]
    return found


def _edges(traced: "Traced", full: np.ndarray, kept: Kept, nodes: dict[int, Node]) -> tuple[Edge, ...]:
    n, p = len(traced.chosen), traced.matrix.embeddings
    drawn = [(t, s) for t, s in np.argwhere(kept.edges).tolist() if s in nodes]
    ids = {t: nodes[t].id if t < n else "logit" for t, _ in drawn}
    drawn.sort(key=lambda pair: -abs(full[pair]))
    carried = {i: (t, s) for i, (t, s) in enumerate(drawn[:EDGES_WITH_HEADS]) if s < n + p}
    heads = _heads(traced, list(carried.values()))
    by_edge = dict(zip(carried, heads, strict=True))
    found = []
    for i, (t, s) in enumerate(drawn):
        weight = float(full[t, s])
        loading = by_edge.get(i)
        split = () if loading is None else tuple(strongest(loading, HEADS_SHOWN))
        residual = weight if loading is None else weight - float(loading.sum())
        found.append(Edge(nodes[s].id, ids[t], weight, split, residual))
    return tuple(sorted(found, key=lambda edge: -abs(edge.weight)))


def _heads(traced: "Traced", pairs: list[tuple[int, int]]) -> list[Tensor]:
    """Head loadings of edges (row, column) from units and embeddings, `[l, h]` each."""
    if not pairs:
        return []
    clean, flow, chosen = traced.question.clean, traced.flow, traced.chosen
    readers = read_vectors(clean, traced.question.target, chosen, traced.basis)
    rows, columns = torch.tensor(pairs, device=chosen.layers.device).T
    sources = written(clean, flow, chosen, traced.basis).take(columns)
    return list(head_loadings(LinearOperator(clean, flow.start), readers, sources, rows))


def _assemble(
    traced: "Traced", basis: str, config: "TraceConfig", nodes: dict[int, Node], edges: tuple[Edge, ...], kept: Kept
) -> Graph:
    question, matrix, flow = traced.question, traced.matrix, traced.flow
    model, clean, other, target = question.model, question.clean, question.other, question.target
    n = len(traced.chosen)
    explained = float(matrix.linear[n].sum() / matrix.value[n]) if float(matrix.value[n]) else 0.0
    numbers: dict[str, Any] = {
        "candidates": int((traced.scores != 0).sum()),
        "units": n,
        "drawn_nodes": len(nodes),
        "drawn_edges": len(edges),
        "direct_share_of_target": explained,
        "largest_imbalance": float(matrix.imbalance().max()),
    }
    if flow.against:
        numbers["differing_share"] = float(flow.differs.double().mean())
    texts = tuple(token_text(model, i) for i in clean.ids)
    logit = nodes[max(nodes)]
    card = RunCard(
        "graph",
        FORMAT,
        config={**config.to_dict(), "basis": basis, "max_nodes": n},
        model=model.card,
        data={"ids": clean.ids, "counterfactual_ids": None if other is None else other.ids},
    )
    return Graph(
        prompt=question.inputs if isinstance(question.inputs, str) else "".join(texts),
        counterfactual=None if other is None else _text(question),
        tokens=texts,
        counterfactual_tokens=None if other is None else tuple(token_text(model, i) for i in other.ids),
        ids=tuple(clean.ids),
        counterfactual_ids=None if other is None else tuple(other.ids),
        target=target.texts,
        against=target.against_texts,
        target_ids=target.ids,
        against_ids=target.against_ids,
        target_position=target.position % clean.n_positions,
        value=logit.value,
        counterfactual_value=logit.counterfactual_value,
        n_layers=len(clean.layers),
        basis=basis,
        nodes=tuple(nodes.values()),
        edges=edges,
        ranking=_ranking(traced.scores, config.ranked),
        summary_numbers=numbers,
        card=card.to_dict(),
        matrix=(matrix.linear.cpu().numpy(), *_names(traced)),
    )


def _text(question: Any) -> str:
    model, other = question.model, question.other_inputs
    return other if isinstance(other, str) else "".join(token_text(model, i) for i in question.other.ids)


def _names(traced: "Traced") -> tuple[list[str], list[str]]:
    n, matrix = len(traced.chosen), traced.matrix
    units = [_unit(traced, i).id for i in range(n)]
    embeds = [f"embedding.{i}" for i in range(matrix.embeddings)]
    places = [f"position.{i}" for i in range(matrix.learned)]
    biases = [f"bias.{i}" for i in range(matrix.bias.shape[1])]
    return [*units, "logit"], [*units, *embeds, *places, *biases]


def _ranking(scores: Tensor, most: int) -> tuple[tuple[int, int, int, float], ...]:
    flat = scores.flatten()
    best = flat.abs().topk(min(most, int((flat != 0).sum()))).indices
    layers, positions, units = (x.tolist() for x in torch.unravel_index(best, scores.shape))
    return tuple(zip(layers, positions, units, flat[best].tolist(), strict=True))
