"""Results as a model would give them, made from a seed: what Graph.to_dict() and Proof.to_dict() return.

The numbers have the shape of real ones: influence falls off like a power law, most units sit late and on the
last tokens, edges run upwards only and carry both signs.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

CARD = {
    "kind": "graph",
    "format": 1,
    "seed": 0,
    "config": {"max_nodes": 1024, "selection": "half-rule gradient", "steps": 5},
    "model": {"name": "smollm2", "fingerprint": "3f9c0b7d21aa4e55", "dtype": "float32"},
    "data": {"prompt": "The capital of France is"},
    "command": 'microtome trace "The capital of France is" --model smollm2',
    "libraries": {"python": "3.11.2", "torch": "2.13.0"},
}
SHORT = ["The", " capital", " of", " France", " is"]
SHORT_OTHER = ["The", " capital", " of", " Germany", " is"]
LONG_TEXT = (
    "When Mary and John went to the store on a sunny day in the middle of June , they bought a bottle of milk "
    "and some bread , and then John gave a drink to"
)
LONG = [word if at == 0 else f" {word}" for at, word in enumerate(LONG_TEXT.split())]
LONG_OTHER = [" Tom" if at == 3 else token for at, token in enumerate(LONG)]
WORDS = [" Paris", " France", " French", " capital", "é", " city", "\n", " Berlin", " the", "ville", " Europe", " 12"]


def graph(
    tokens: Sequence[str] = SHORT,
    other: Sequence[str] | None = SHORT_OTHER,
    *,
    n_units: int = 54,
    n_edges: int = 300,
    n_layers: int = 30,
    seed: int = 0,
    words: Sequence[str] = WORDS,
) -> dict[str, Any]:
    """One traced prompt; `words` are the vocabulary that nodes promote and suppress."""
    rng = np.random.default_rng(seed)
    nodes = [_token_node(at, token, rng) for at, token in enumerate(tokens)]
    nodes += [_unit_node(number, len(tokens), n_layers, rng, words) for number in range(n_units)]
    nodes.append(_logit_node(len(tokens) - 1, n_layers, words))
    unique = {node["id"]: node for node in nodes}
    nodes = list(unique.values())
    total = sum(node["influence"] for node in nodes) or 1.0
    for node in nodes:
        node["influence"] /= total
    return {
        "prompt": "".join(tokens),
        "counterfactual": None if other is None else "".join(other),
        "tokens": list(tokens),
        "counterfactual_tokens": None if other is None else list(other),
        "target": [words[0]],
        "against": [words[7 % len(words)]],
        "target_position": len(tokens) - 1,
        "value": 4.2137,
        "counterfactual_value": None if other is None else -3.905,
        "n_layers": n_layers,
        "basis": "neurons",
        "nodes": nodes,
        "edges": _edges(nodes, n_edges, n_layers, rng),
        "summary": {
            "candidates": 20000,
            "units": 1024,
            "drawn_nodes": len(nodes),
            "drawn_edges": n_edges,
            "direct_share_of_target": 0.8312,
            "largest_imbalance": 2.7e-7,
            "differing_share": 0.4,
        },
        "card": copy.deepcopy(CARD),
    }


def _token_node(at: int, token: str, rng: np.random.Generator) -> dict[str, Any]:
    return _node(f"embedding.{at}", "embedding", None, at, None, f"token {at}", rng, influence=0.3 * rng.random())


def _unit_node(
    number: int, n_tokens: int, n_layers: int, rng: np.random.Generator, words: Sequence[str]
) -> dict[str, Any]:
    layer = min(n_layers - 1, int(n_layers * rng.beta(1.6, 1.1)))
    position = n_tokens - 1 - min(n_tokens - 1, int(rng.exponential(n_tokens / 4)))
    unit = int(rng.integers(1536))
    kind = "bias" if number % 41 == 40 else "error" if number % 47 == 46 else "unit"
    place = None if kind == "bias" else position
    chosen = [words[i] for i in rng.permutation(len(words))]
    node = _node(
        f"{kind}.{layer}.{position}.{unit}",
        kind,
        layer,
        place,
        unit,
        f"{'neuron' if kind == 'unit' else kind} {layer}.{unit}",
        rng,
        influence=float(rng.pareto(1.3)) / (1 + number) ** 0.2,
    )
    raised = [[token, round(float(w), 4)] for token, w in zip(chosen[:5], -np.sort(-rng.random(5)), strict=False)]
    lowered = [[token, -round(float(w), 4)] for token, w in zip(chosen[-5:], -np.sort(-rng.random(5)), strict=False)]
    node["moves"] = [*raised, *lowered]
    return node


def _logit_node(position: int, n_layers: int, words: Sequence[str]) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    label = f"logit {words[0]}"
    return _node("logit.0", "logit", n_layers, position, None, label, rng, influence=1.0) | {"value": 4.2137}


def _node(
    name: str, kind: str, layer: int | None, at: int | None, unit: int | None, label: str, rng, *, influence: float
) -> dict[str, Any]:
    value = float(rng.normal(0, 2))
    return {
        "id": name,
        "kind": kind,
        "layer": layer,
        "position": at,
        "unit": unit,
        "label": label,
        "value": value,
        "counterfactual_value": value + float(rng.normal(0, 1)),
        "attribution": float(rng.normal(0.08, 0.2)) * (0.2 + influence),
        "influence": float(influence),
        "remainder": float(rng.normal(0, 0.05)),
        "nonlinear": None if kind != "unit" else float(rng.normal(0, 0.01)),
        "block": None,
        "direct": round(value / 7, 6),
        "moves": [],
    }


def _edges(nodes: list[dict], count: int, n_layers: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    height = np.array([-1 if node["layer"] is None else node["layer"] for node in nodes])
    place = np.array([-1 if node["position"] is None else node["position"] for node in nodes])
    source, target = rng.integers(len(nodes), size=(2, 12 * count))
    upwards = (height[source] < height[target]) & (place[source] <= np.where(place[target] < 0, 999, place[target]))
    pairs = list(dict.fromkeys(zip(source[upwards].tolist(), target[upwards].tolist(), strict=True)))[:count]
    logit = len(nodes) - 1
    pairs += [(at, logit) for at in range(0, logit, 3) if (at, logit) not in set(pairs)]
    return [_edge(nodes[s]["id"], nodes[t]["id"], height[s], height[t], n_layers, rng) for s, t in pairs]


def _edge(source: str, target: str, low: int, high: int, n_layers: int, rng: np.random.Generator) -> dict[str, Any]:
    weight = float(rng.normal(0.02, 1) * rng.pareto(2.0) * 0.3)
    between = range(low + 1, min(high, n_layers - 1) + 1)
    heads = [[int(rng.choice(between)), int(rng.integers(9)), weight * s] for s in (0.5, 0.2)] if len(between) else []
    return {
        "source": source,
        "target": target,
        "weight": weight,
        "heads": heads,
        "residual": weight * (0.3 if heads else 1.0),
    }


SIZES = (100, 300, 1000, 3000)


def proof(*, holds: bool = True, n: int = 1, sizes: tuple[int, ...] = SIZES, seed: int = 0) -> dict[str, Any]:
    """A proof whose circuit beats both nulls, or only the random one."""
    rng = np.random.default_rng(seed)
    circuit = np.linspace(0.21, 0.81, len(sizes))
    change = circuit * 0.45 if holds else circuit + 0.03
    level, words = ("prompt", "holds on this prompt") if n == 1 else ("task", "is proven on the task")
    says = f"The circuit {words}." if holds else "The units that change most keep as much: this circuit is not shown."
    return {
        "sizes": list(sizes),
        "faithfulness": [
            _measured("faithfulness", v, 0.2 * v, c, n, rng, True) for v, c in zip(circuit, change, strict=True)
        ],
        "completeness": [
            _measured("completeness", 1 - v, 1 - 0.15 * v, 1 - c, n, rng, False)
            for v, c in zip(circuit, change, strict=True)
        ],
        "nulls": ["matched random", "change"],
        "areas": {"circuit": 0.52, "matched random": 0.11, "change": 0.23 if holds else 0.55},
        "verdict": {"holds": holds, "needed": holds, "words": says, "level": level},
        "n_differing": 41231,
        "differing_share": 0.4,
        "n": n,
        "card": CARD | {"kind": "proof"},
    }


def _measured(name: str, value: float, random: float, change: float, n: int, rng, higher: bool) -> dict[str, Any]:
    draws = rng.normal(random, 0.03, size=20)
    return {
        "name": name,
        "value": float(value),
        "interval": None if n == 1 else [float(value) - 0.06, float(value) + 0.05],
        "level": 0.95,
        "nulls": [
            _null("matched random", value, draws, n, higher),
            _null("change", value, np.array([change]), n, higher),
        ],
        "n": n,
        "seed": 0,
        "measured_in": "share of the target's change",
    }


def _null(name: str, value: float, draws: np.ndarray, n: int, higher: bool) -> dict[str, Any]:
    effect = float(value - draws.mean())
    advantage = effect if higher else -effect
    as_good = draws >= value if higher else draws <= value
    return {
        "name": name,
        "draws": draws.tolist(),
        "p_value": float((1 + as_good.sum()) / (1 + len(draws))),
        "effect": effect,
        "advantage_interval": None if n == 1 else [advantage - 0.08, advantage + 0.08],
        "higher_is_better": higher,
    }
