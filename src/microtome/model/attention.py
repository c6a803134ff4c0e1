"""The attention function that every opened model runs with, registered once under one name.

Without a watcher it is plain eager attention. A watcher (a run in progress) sees and may replace
queries, keys, values, scores and pattern of the modules it watches. The mask builder is registered
under the same name: without it transformers passes no mask at all and causality is lost in silence.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

NAME = "microtome"

Watcher = Callable[[str, Tensor], Tensor]
"""Takes one of q, k, v, scores, pattern and its tensor; returns the tensor to go on with."""

_WATCHED: WeakKeyDictionary[nn.Module, Watcher] = WeakKeyDictionary()


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **beside: Any,
) -> tuple[Tensor, Tensor]:
    """Eager attention, watched. Shapes as transformers passes them: `[b, h, p, c]`, k and v `[b, g, p, c]`.

    The softmax runs in float32, as eager's does, or in float64 for float64 models: there eager rounds,
    and a check of exactness would measure that rounding.

    Args:
        beside: of what else a module passes, `softcap` caps the scores, and `s_aux` holds the heads' sinks.

    Returns:
        each head's mix of values `[b, p, h, c]` and the pattern `[b, h, p, p]`.
    """
    watch = _WATCHED.get(module, _unwatched)
    query = watch("q", query)
    key = watch("k", key)
    value = watch("v", value)
    repeats = query.shape[1] // key.shape[1]
    keys = key.repeat_interleave(repeats, dim=1)
    values = value.repeat_interleave(repeats, dim=1)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.matmul(query, keys.transpose(2, 3)) * scale
    if (softcap := beside.get("softcap")) is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if attention_mask is not None:
        scores = scores + attention_mask
    scores = watch("scores", scores)
    pattern = watch("pattern", pattern_of(scores, beside.get("s_aux")).to(query.dtype))
    return torch.matmul(pattern, values).transpose(1, 2).contiguous(), pattern


def pattern_of(scores: Tensor, sinks: Tensor | None) -> Tensor:
    """The softmax over keys `[b, h, p, p]`; a head's sink `[h]` takes part in it as a key that has no value."""
    exact = torch.float64 if scores.dtype == torch.float64 else torch.float32
    if sinks is None:
        return scores.softmax(-1, dtype=exact)
    sink = sinks[None, :, None, None].expand(*scores.shape[:-1], 1).to(scores.dtype)
    return torch.cat([scores, sink], -1).softmax(-1, dtype=exact)[..., :-1]


def _unwatched(name: str, tensor: Tensor) -> Tensor:
    return tensor


def register() -> str:
    """Makes the name known to transformers (again and again does no harm) and returns it."""
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, eager_mask)
    return NAME


@contextmanager
def watched(watchers: Mapping[nn.Module, Watcher]) -> Iterator[None]:
    """Lets the watchers see their modules' attention for a while; nested watchers are put back."""
    before = {module: _WATCHED.get(module) for module in watchers}
    _WATCHED.update(watchers)
    try:
        yield
    finally:
        for module, old in before.items():
            if old is None:
                _WATCHED.pop(module, None)
            else:
                _WATCHED[module] = old
