"""What a column of the edge matrix is, as a node with its names and numbers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from microtome.circuit.basis import BlockUnits
from microtome.circuit.graph import Kind, Node
from microtome.circuit.places import site_of
from microtome.circuit.traced import Traced
from microtome.model.tokens import token_text

TOKENS_SHOWN = 6
NOISE = 0.1
"""Logits by which a write must move some token for its tokens to be named: below, any direction has some."""
WRITES_AT_ONCE = 64


def node_of(traced: Traced, column: int) -> Node:
    """The node of a column of the matrix's sources; the one after the last is the logit.

    Its influence, remainder and nonlinear part depend on what is drawn beside it, and are blank.
    """
    kind, index = traced.matrix.columns.find(column)
    return NODES[kind](traced, index)


def names(traced: Traced) -> tuple[list[str], list[str]]:
    """Ids of the matrix's rows and of its sources."""
    n, sources = len(traced.chosen), traced.matrix.linear.shape[1]
    found = [node_of(traced, column).id for column in range(sources + 1)]
    return [*found[:n], found[-1]], found[:-1]


def _node(**known: Any) -> Node:
    blank = {
        "layer": None,
        "position": None,
        "unit": None,
        "block": None,
        "counterfactual_value": None,
        "attribution": 0.0,
    }
    return Node(**{**blank, "influence": 0.0, "remainder": 0.0, "nonlinear": None, **known})


def _unit(traced: Traced, column: int) -> Node:
    chosen, question = traced.chosen, traced.question
    block, position, of = (int(x[column]) for x in (chosen.blocks, chosen.positions, chosen.units))
    clean, other = question.clean.blocks[block], question.other
    unit = int(clean.ids[of])
    return _node(
        id=f"unit.{clean.name}.{position}.{unit}",
        kind="unit",
        layer=clean.layer,
        position=position,
        unit=unit,
        block=clean.name,
        label=f"{_where(clean)} unit {unit}",
        value=float(clean.values[position, of]),
        counterfactual_value=None if other is None else float(other.blocks[block].values[position, of]),
        attribution=float(traced.scores.units[block, position, of]),
    )


def _where(block: BlockUnits) -> str:
    """Where units are, in short: of an MLP its layer, elsewhere the site."""
    of_mlp = all(place.kind == "mlp.in" for place in block.reads)
    return f"L{block.layer}" if of_mlp else block.name


def _token(traced: Traced, position: int) -> Node:
    text = token_text(traced.question.model, traced.question.clean.frozen.ids[position])
    against = None if traced.question.other is None else 1.0
    return _node(
        id=f"embedding.{position}",
        kind="embedding",
        position=position,
        label=text,
        value=1.0,
        counterfactual_value=against,
        attribution=float(traced.scores.embed[position]),
    )


def _position(traced: Traced, index: int) -> Node:
    return _node(id=f"position.{index}", kind="position", position=index, label=f"position {index}", value=1.0)


def _error(traced: Traced, index: int) -> Node:
    """What units leave of a place at one position, with its length as its value."""
    question = traced.question
    place, position = traced.matrix.columns.error(index)
    n_layers = len(question.clean.frozen.layers)
    here = f"L{place.layer}" if place.kind == "mlp.out" else site_of(place, n_layers)
    return _node(
        id=f"error.{site_of(place, n_layers)}.{position}",
        kind="error",
        layer=min(place.layer, n_layers - 1),
        position=position,
        block=site_of(place, n_layers),
        label=f"{here} error",
        value=float(question.clean.errors[place][position].norm()),
        counterfactual_value=None if question.other is None else float(question.other.errors[place][position].norm()),
        attribution=float(traced.scores.errors[place][position]),
    )


def _bias(traced: Traced, layer: int) -> Node:
    return _node(id=f"bias.{layer}", kind="bias", layer=layer, label=f"biases of layer {layer}", value=1.0)


def _logit(traced: Traced, _: int) -> Node:
    question, target = traced.question, traced.question.target
    clean, other = question.clean.frozen, question.other
    return _node(
        id="logit",
        kind="logit",
        layer=target.layer(len(clean.layers)),
        position=target.position % clean.n_positions,
        label=target.label,
        value=target.on(clean),
        counterfactual_value=None if other is None else target.on(other.frozen),
        attribution=traced.flow.target,
    )


NODES: dict[Kind, Callable[[Traced, int], Node]] = {
    "unit": _unit,
    "embedding": _token,
    "position": _position,
    "error": _error,
    "bias": _bias,
    "logit": _logit,
}


def with_tokens(traced: Traced, nodes: dict[int, Node]) -> dict[int, Node]:
    """Adds to each unit the tokens that its write raises and lowers most, at the target's norm scale."""
    n = len(traced.chosen)
    columns = [column for column in nodes if column < n]
    if not columns:
        return nodes
    frozen, target = traced.question.clean.frozen, traced.question.target
    writes = _writes(traced, torch.tensor(columns, device=traced.chosen.units.device))
    norm, scale = frozen.anatomy.final_norm, frozen.final_scale[target.position]
    named = dict(nodes)
    for part in torch.arange(len(columns)).split(WRITES_AT_ONCE):
        logits = norm.push(writes[part], scale) @ frozen.anatomy.w_u.T
        few = min(TOKENS_SHOWN, logits.shape[-1])
        high, low = logits.topk(few), (-logits).topk(few)
        for row, i in enumerate(part.tolist()):
            if max(float(high.values[row, 0]), float(low.values[row, 0])) >= NOISE:
                raised = _named(traced, high.indices[row], high.values[row])
                lowered = _named(traced, low.indices[row], -low.values[row])
                moves = (*(one for one in raised if one[1] > 0), *(one for one in lowered if one[1] < 0))
                named[columns[i]] = replace(nodes[columns[i]], moves=moves)
    return named


def _named(traced: Traced, ids: Tensor, weights: Tensor) -> tuple[tuple[str, float], ...]:
    model = traced.question.model
    return tuple((token_text(model, i), w) for i, w in zip(ids.tolist(), weights.tolist(), strict=True))


def _writes(traced: Traced, columns: Tensor) -> Tensor:
    """What units wrote: against a counterfactual what changed of it, else all of it; `[k, d]`."""
    chosen, clean, flow = traced.chosen, traced.question.clean, traced.flow
    found = clean.frozen.embed.new_zeros(len(columns), clean.frozen.embed.shape[1])
    for index in chosen.blocks[columns].unique().tolist():
        here, block = chosen.blocks[columns] == index, clean.blocks[index]
        positions, units = chosen.positions[columns[here]], chosen.units[columns[here]]
        amounts = flow.units[index][positions, units, None]
        for place in block.writes:
            found[here] += block.write(place, positions, units) * amounts
    return found
