"""Circuits of edges that differ from one in which heads they name: what a circuit of edges is compared with.

Equally many random edges keep nothing, because they form no path; a circuit that beats them has shown nothing. These
have the circuit's own shape instead: heads of each layer exchange their names, so that as many edges of each kind join
the same layers, and whatever was a path from the embedding to the logits still is one.
"""

from collections.abc import Collection

import numpy as np

from microtome.circuit.patching.components import Components, Edge


def relabelled(components: Components, circuit: Collection[Edge], rng: np.random.Generator) -> frozenset[Edge]:
    """The circuit with the heads of each layer exchanged at random; those that share keys and values stay together.

    Args:
        components: the graph.
        circuit: its edges.
        rng: of the exchange.

    Returns:
        as many edges; the same ones where the circuit has no head, or a layer has one.
    """
    share = components.h // components.g
    groups = [rng.permutation(components.g) for _ in range(components.n_layers)]
    within = [[rng.permutation(share) for _ in range(components.g)] for _ in range(components.n_layers)]

    def other(name: str) -> str:
        if not name.startswith("head"):
            return name
        _, layer, index, *part = name.split(".")
        of, number = int(layer), int(index)
        if part and part[0] in ("k", "v"):
            new = groups[of][number]
        else:
            group, place = divmod(number, share)
            new = groups[of][group] * share + within[of][group][place]
        return ".".join(["head", layer, str(new), *part])

    return frozenset((other(source), other(reader)) for source, reader in circuit)
