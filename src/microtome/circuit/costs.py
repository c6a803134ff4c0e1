"""What a trace and a proof take, by counting their products: said before long work.

Counts are of the large matrix products alone. Seconds are these at the rate of one such product on this machine, which
is tried once; a run is slower by what lies between products, and small ones are (benchmarks/README.md compares both).
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from statistics import median

import torch

from microtome.circuit.operator import NUMBERS_AT_ONCE
from microtome.circuit.sizes import SIZES, usual_draws
from microtome.core.cost import Cost
from microtome.model.model import Model

IG_STEPS, BACKWARD = 5, 3
"""Steps of the default rule, and a pass with its gradients in passes without."""
RANKING_PASSES = 4 + IG_STEPS * BACKWARD
"""Of a prompt of a task: whether the model gets it right, and what is frozen, on both prompts; then the rule."""
COPIES = 4
"""Of the edge matrix at the fullest moment: itself, as shares of its rows, and what pruning makes of these."""
CARRIED_AT_ONCE = 6
"""Tensors of the size of what is carried together, at the fullest moment of a layer."""
LONG = 3e11
"""Multiplications and additions, from which on a cost is said before the work."""


def trace_cost(model: Model, positions: int, max_nodes: int, *, prompts: int = 2) -> Cost:
    """Of one trace in a basis of neurons.

    Args:
        model: of a family.
        positions: of the prompt.
        max_nodes: units that become nodes.
        prompts: 2 with a counterfactual, 1 without.
    """
    passes = prompts + IG_STEPS * BACKWARD
    flops = {
        "passes of the network": passes * positions * token_flops(model),
        "edges": max_nodes * _carried(model, positions),
    }
    sources = max_nodes + 2 * positions + model.n_layers
    carried = min(NUMBERS_AT_ONCE, max_nodes * positions * model.anatomy.sizes.d)
    memory = {
        "edge matrix": 4.0 * COPIES * max_nodes * sources,
        "vectors that are carried": 4.0 * CARRIED_AT_ONCE * carried,
        "activations": 4.0 * (prompts + IG_STEPS) * positions * _values(model),
    }
    return Cost(memory, {}, flops, {}, {})


def proof_cost(model: Model, positions: int, sizes: int, draws: int) -> Cost:
    """Of one prompt's proof, without the ranking that it tests.

    Args:
        model: of a family.
        positions: of the prompt.
        sizes: how many numbers of units.
        draws: matched sets a size.
    """
    flops = {"passes of the network": proof_copies(sizes, draws) * positions * token_flops(model)}
    units = _values(model)
    return Cost({"which units are set": float((draws + 2) * 2 * positions * units)}, {}, flops, {}, {})


def task_cost(model: Model, lengths: Sequence[int], sizes: int, draws: int) -> Cost:
    """Of the proofs of a task's prompts, one after another, each ranked by the default rule first.

    Args:
        model: of a family.
        lengths: of the prompts, in tokens.
        sizes: how many numbers of units.
        draws: matched sets a size.
    """
    proof = proof_cost(model, sum(lengths), sizes, draws)
    ranking = RANKING_PASSES * sum(lengths) * token_flops(model)
    memory = proof_cost(model, max(lengths, default=0), sizes, draws).memory  # one prompt at a time
    return Cost(memory, {}, {**proof.flops, "rankings": ranking}, {}, {})


def costs_of(model: Model, positions: int, max_nodes: int) -> dict[str, Cost]:
    """A trace against a counterfactual, and the proof of it at four sizes."""
    draws = usual_draws(positions, len(SIZES))
    return {
        "trace": timed(model, trace_cost(model, positions, max_nodes)),
        "proof": timed(model, proof_cost(model, positions, len(SIZES), draws)),
    }


def proof_copies(sizes: int, draws: int) -> int:
    """How often a proof runs the prompt: nothing and everything set, then each set of each size kept, and removed."""
    return 2 + 2 * sizes * (draws + 2)


def token_flops(model: Model) -> float:
    """Of one token's pass through all layers; of experts, as if each were used."""
    module = model.module
    embedding = model.anatomy.embed.get_parameter("weight")
    return 2.0 * (sum(one.numel() for one in module.parameters()) - embedding.numel())


def _carried(model: Model, positions: int) -> float:
    """Of one vector carried through half of the layers, past half of the positions, as one is on average."""
    size = model.anatomy.sizes
    products = size.d * size.g * size.c + size.h * size.c * size.d + size.h * size.c * positions / 2
    return 2.0 * products * (positions + 1) / 2 * model.n_layers / 2


def _values(model: Model) -> float:
    """Numbers that a token's pass leaves in all layers: units, and a few streams."""
    anatomy = model.anatomy
    return float(sum(layer.n_units + 6 * anatomy.sizes.d for layer in anatomy.layers))


def timed(model: Model, cost: Cost) -> Cost:
    """With seconds: its products at the rate that this machine has shown."""
    rate = _rate(next(model.module.parameters()).device.type)
    return replace(cost, seconds={part: count / rate for part, count in cost.flops.items()})


@cache
def _rate(device: str) -> float:
    """FLOP/s of a float32 product of ordinary size, the median of some."""
    a, b = torch.ones(1024, 576, device=device), torch.ones(576, 1536, device=device)
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        (a @ b).sum().item()
        taken.append(time.perf_counter() - start)
    return 2.0 * a.numel() * b.shape[1] / median(taken)


def said_before(model: Model, cost: Cost) -> str:
    """Seconds and memory in words, where the work is long; else nothing, and no rate is tried."""
    return f"about {in_words(timed(model, cost))}" if cost.total("flops") > LONG else ""


def in_words(cost: Cost) -> str:
    """Seconds and memory."""
    return f"{cost.total('seconds'):.0f} s and {cost.total('memory') / 1e9:.1f} GB"
