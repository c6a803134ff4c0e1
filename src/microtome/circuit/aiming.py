"""From what a user wants explained to the target, of tokens or inside the model; and back from a graph."""

from typing import Any

import torch

from microtome.circuit.graph import Graph
from microtome.circuit.naming import is_named
from microtome.circuit.site_target import UnitTarget, VectorTarget
from microtome.circuit.target import Target, Tokens, TokenTarget, resolve
from microtome.core.errors import WrongUse
from microtome.dictionary.exchange import load_dictionary
from microtome.model.model import Model

Explained = Tokens | VectorTarget | UnitTarget
"""What can be asked for: tokens, or what `microtome.target` gives."""


def aim(model: Model, prompt: Any, explained: Explained, against: Tokens, position: int) -> Target:
    """The target that was asked for.

    Raises:
        NotFound, WrongUse, SiteNotFound, NotSupported: it is none of this model's, or stands nowhere in this prompt.
    """
    if not isinstance(explained, (VectorTarget, UnitTarget)):
        return resolve(model, prompt, explained, against, position)
    if against is not None:
        raise WrongUse(f"explain {explained.name}", found="`against`, which is for tokens", do="leave it out")
    if position != -1:
        found = f"position={position} in the settings of the trace"
        raise WrongUse(
            f"explain {explained.name}", found=found, do="give the target its position: target(…, position=…)"
        )
    model.batch(prompt).token(0, explained.position)
    return explained.fitted(model)


def target_of(graph: Graph, model: Model) -> Target:
    """The target that a graph was traced for.

    Raises:
        WrongUse: a unit of a dictionary that has no name.
    """
    made = graph.card.get("data", {}).get("target", {"kind": "tokens"})
    position = graph.target_position
    if made["kind"] == "tokens":
        return TokenTarget(graph.target_ids, graph.target, graph.against_ids, graph.against, position)
    if made["kind"] == "vector":
        vector = None if made["vector"] is None else torch.tensor(made["vector"])
        return VectorTarget(made["site"], made["unit"], vector, position, made["name"]).fitted(model)
    if not is_named(made["dictionary"]):
        raise WrongUse(
            f"prove the graph of {graph.prompt!r}",
            found=f"a unit of {made['dictionary']}, a dictionary without a name, as its target",
            do="save the dictionary, and trace with target(PATH, unit)",
        )
    dictionary = load_dictionary(made["dictionary"])
    return UnitTarget(dictionary, made["dictionary"], made["unit"], position, made["name"]).fitted(model)
