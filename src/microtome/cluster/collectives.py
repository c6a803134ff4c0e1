"""What ranks tell each other. `summed` and `shared` are each other's gradient."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributed import ProcessGroup, ReduceOp

# Numbers that are sent together at most when many tensors are averaged.
AT_ONCE = 1 << 24


def summed(x: Float[Tensor, "..."], group: ProcessGroup) -> Float[Tensor, "..."]:
    """Σ of the ranks' x; the gradient comes back as it is, since each rank computes the same loss from the sum."""
    found = _Summed.apply(x, group)
    assert isinstance(found, Tensor)
    return found


def shared(x: Float[Tensor, "..."], group: ProcessGroup) -> Float[Tensor, "..."]:
    """x itself, which all ranks hold alike; the gradient is the sum of theirs."""
    found = _Shared.apply(x, group)
    assert isinstance(found, Tensor)
    return found


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        return reduced(x, group, ReduceOp.SUM)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class _Shared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return reduced(grads[0], ctx.group, ReduceOp.SUM), None


def reduced(x: Tensor, group: ProcessGroup, by: ReduceOp.RedOpType) -> Tensor:
    """The ranks' x, added, or the largest or smallest of them, place by place; x stays as it is."""
    found = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(found, by, group)
    return found


def gathered(x: Tensor, group: ProcessGroup) -> Tensor:
    """The ranks' x, of one shape everywhere: `[ranks, …]`."""
    found = x.new_empty(dist.get_world_size(group), x.numel())
    dist.all_gather(list(found.unbind()), x.contiguous().flatten(), group)
    return found.view(-1, *x.shape)


def exchanged(x: Tensor, group: ProcessGroup) -> Tensor:
    """`x[i]` goes to rank i, and what comes from rank i stands at i: `[ranks, …]`."""
    found = torch.empty_like(x, memory_format=torch.contiguous_format)
    dist.all_to_all_single(found, x.contiguous(), group=group)
    return found


def gathered_lists(x: Shaped[Tensor, "n"], group: ProcessGroup) -> list[Tensor]:
    """The ranks' lists, each of its own length."""
    lengths = gathered(torch.tensor(len(x), device=x.device), group).tolist()
    padded = torch.cat([x, x.new_zeros(max(lengths) - len(x))])
    return [row[:length] for row, length in zip(gathered(padded, group), lengths, strict=True)]


def gathered_values(plain: Any, group: ProcessGroup, device: torch.device) -> list[Any]:
    """What each rank says: plain values, which travel as JSON."""
    written = torch.tensor(list(json.dumps(plain).encode()), device=device)
    return [json.loads(bytes(one.tolist())) for one in gathered_lists(written, group)]


def pieces(x: Shaped[Tensor, "n *_"], lengths: Sequence[int], group: ProcessGroup) -> Iterator[Shaped[Tensor, "m *_"]]:
    """The ranks' rows one after another, in main memory: on the device there is one rank's at a time.

    Args:
        x: this rank's.
        lengths: how many each of them has.
        group: the ranks.
    """
    for rank, length in enumerate(lengths):
        own = rank == dist.get_rank(group)
        found = x.contiguous() if own else x.new_empty(length, *x.shape[1:])
        dist.broadcast(found, group=group, group_src=rank)
        yield found.cpu()


def average(tensors: Iterable[Tensor], group: ProcessGroup) -> None:
    """Puts the mean of the ranks' tensors in the place of each; small ones travel together."""
    together: list[Tensor] = []
    for tensor in tensors:
        together.append(tensor)
        if sum(one.numel() for one in together) >= AT_ONCE:
            _average(together, group)
            together = []
    _average(together, group)


def _average(tensors: list[Tensor], group: ProcessGroup) -> None:
    if not tensors:
        return
    flat = tensors[0].flatten() if len(tensors) == 1 else torch.cat([one.flatten() for one in tensors])
    flat = reduced(flat, group, ReduceOp.SUM).div_(dist.get_world_size(group))
    for tensor, mean in zip(tensors, flat.split([one.numel() for one in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))
