"""Projections: whether what each of them computes is what its weight says.

A module may add to its weight when it runs: LoRA put in place, a quantised matrix, a hook of somebody's. Whatever
reads weights, as attribution does, would then explain another network than the one that runs.
"""

from collections.abc import Iterator

import torch
from torch import nn

from microtome.core.errors import NotSupported
from microtome.model.anatomy import Anatomy, constant, matrix

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 0.05, torch.float16: 0.01}
SHOWN = 4
MERGE = "merge what is added into the weights and open the model that comes out: with PEFT, `model.merge_and_unload()`"


def projections(anatomy: Anatomy) -> Iterator[tuple[str, nn.Module]]:
    """Every matrix whose weight is read, by its path."""
    family = anatomy.family
    for i, layer in enumerate(anatomy.layers):
        mlp = () if layer.experts is not None else (family.gate, family.up, family.down)
        for path in dict.fromkeys((family.values, family.heads_out, *mlp)):
            if path is not None:
                yield f"{family.layers}.{i}.{path}", layer.part(path)
    yield family.unembed, anatomy.unembed


def unlike_their_weights(anatomy: Anatomy) -> list[str]:
    """Paths of projections that compute something else than their weight and bias, told by one random vector."""
    return [path for path, module in projections(anatomy) if not _is_its_weight(module)]


def _is_its_weight(module: nn.Module) -> bool:
    weight, bias = matrix(module), constant(module)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, weight.shape[1], generator=draw).to(weight)
    with torch.no_grad():
        expected = nn.functional.linear(x, weight, bias)
        off = (module(x) - expected).abs().max() / expected.abs().max()
    return bool(off <= TOLERANCE[weight.dtype])


def require_plain_weights(anatomy: Anatomy, what: str) -> None:
    """Passes networks whose weights are what runs.

    Raises:
        NotSupported: a projection computes something else, as with LoRA put in place.
    """
    if others := unlike_their_weights(anatomy):
        raise NotSupported(what, found=in_words(others), do=MERGE)


def in_words(paths: list[str]) -> str:
    """Which projections these are."""
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return f"projections that compute something else than their weight: {', '.join(paths[:SHOWN])}{more}"
