"""Pairs of token ids for the small random networks: no tokenizer, one length or several."""

import torch

from microtome.circuit.patching.rows import Pair
from microtome.model.model import Model


def random_pairs(model: Model, n: int = 3, length: int = 6, seed: int = 0, first: int = 1) -> list[Pair]:
    """Prompts that differ in two tokens, the second by default and the next; answers are never the same token."""
    draw = torch.Generator().manual_seed(seed)
    v, made = model.anatomy.sizes.v, []
    for _ in range(n):
        ids = torch.randint(3, v, (length,), generator=draw)
        other = ids.clone()
        other[first : first + 2] = (other[first : first + 2] - 2) % (v - 3) + 3
        a, b = torch.randperm(v - 3, generator=draw)[:2].add(3).tolist()
        made.append(Pair(tuple(ids.tolist()), tuple(other.tolist()), (a,), (b,)))
    return made
