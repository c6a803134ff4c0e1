"""Nodes as places in a pass: the site that a node's value passes, and which part of it is the node's."""

from dataclasses import dataclass

from microtome.core.errors import UnknownName
from microtome.model.anatomy import Anatomy

KINDS = ("embed", "head", "mlp", "unit", "q", "k", "v")
"""The embedding, heads and MLPs; MLP units; and the queries, keys and values of heads."""


@dataclass(frozen=True)
class Place:
    """A node's place.

    Attributes:
        name: of the node.
        site: where its value passes.
        unit: its index on the site's axis 2, or None for the whole site.
    """

    name: str
    site: str
    unit: int | None

    @property
    def layer(self) -> int | None:
        """The layer that it is in; None for the embedding."""
        return None if self.name == "embed" else int(self.name.split(".")[1])


def places(anatomy: Anatomy, kinds: tuple[str, ...]) -> list[Place]:
    """All nodes of some kinds, layer by layer.

    Raises:
        UnknownName: a kind that there is not.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise UnknownName("kind of node", kind, KINDS, do="leave it out, or name one of these")
    found = [Place("embed", "embed", None)] if "embed" in kinds else []
    sizes = {"head": anatomy.sizes.h, "q": anatomy.sizes.h, "k": anatomy.sizes.g, "v": anatomy.sizes.g}
    for i, layer in enumerate(anatomy.layers):
        for kind in ("q", "k", "v"):
            if kind in kinds:
                found += [Place(f"head.{i}.{j}.{kind}", f"attn.{kind}.{i}", j) for j in range(sizes[kind])]
        if "head" in kinds:
            found += [Place(f"head.{i}.{j}", f"attn.heads.{i}", j) for j in range(sizes["head"])]
        if "unit" in kinds:
            found += [Place(f"unit.{i}.{j}", f"mlp.neurons.{i}", j) for j in range(layer.n_units)]
        if "mlp" in kinds:
            found.append(Place(f"mlp.{i}", f"mlp.out.{i}", None))
    return found


def sites_of(nodes: list[Place]) -> list[str]:
    """The sites that they pass, each once."""
    return list(dict.fromkeys(node.site for node in nodes))
