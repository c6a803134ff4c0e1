"""Hardware by name: what its maker says it does at most, and the share of it that is reckoned with; or as measured."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from microtome.core.config import Config
from microtome.core.errors import UnknownName
from microtome.dictionary.choosing import bf16_is_quick
from microtome.dictionary.sparse import kernels_for

TERA, GIGA = 1e12, 1e9
ADAM = 28  # bytes that a step of Adam reads and writes for a number: four read, three written, of four each


@dataclass(frozen=True)
class Hardware(Config):
    """One processor of a kind, and how it reaches others.

    Attributes:
        name: what the user types.
        matmul: FLOP/s of dense bf16 products with float32 sums.
        memory: bytes.
        bandwidth: of memory, bytes/s.
        scores: of units and tokens that are screened in a second.
        rows: bytes/s of rows that lie anywhere, read and added up.
        near: bytes/s that each sends to others in its node.
        far: bytes/s that each sends to another node.
        node: processors in a node.
        source: where the figures are from.
        attained: share of the figures that is reckoned with. 1 where they were measured.
        compiled: whether sparse products are the compiled ones, which keep no table of scores.
    """

    name: str
    matmul: float
    memory: float
    bandwidth: float
    scores: float
    rows: float
    near: float
    far: float
    node: int
    source: str
    attained: float = 0.5
    compiled: bool = False


# Bytes that pass through memory for a score where the choice is plain torch: product, sums, scores, their sorting.
SCORE = 28


def _nvidia(
    name: str, tflops: float, gigabytes: float, terabytes: float, wires: tuple[float, float], parts: str
) -> Hardware:
    near, far = wires
    return Hardware(
        name, tflops * TERA, gigabytes * GIGA, terabytes * TERA, terabytes * TERA / SCORE, terabytes * TERA,
        near * GIGA, far * GIGA, 8, f"NVIDIA's data sheet, without structured sparsity: {parts}, InfiniBand each",
    )  # fmt: skip


HARDWARE = {
    one.name: one
    for one in (
        _nvidia("a100", 312.0, 80.0, 2.04, (300.0, 25.0), "A100 80GB SXM, NVLink 3, 200 Gbit/s"),
        _nvidia("h100", 989.0, 80.0, 3.35, (450.0, 50.0), "H100 SXM, NVLink 4, 400 Gbit/s"),
        _nvidia("h200", 989.0, 141.0, 4.8, (450.0, 50.0), "H200 SXM, NVLink 4, 400 Gbit/s"),
        _nvidia("b200", 2250.0, 180.0, 7.7, (900.0, 50.0), "B200 in DGX, NVLink 5, 400 Gbit/s"),
    )
}


def hardware(name: str) -> Hardware:
    """Hardware by name; `here` is this machine, measured for a second.

    Raises:
        UnknownName: neither.
    """
    if name == "here":
        return measured()
    if name not in HARDWARE:
        raise UnknownName("hardware", name, (*HARDWARE, "here"), do="choose one of these")
    return HARDWARE[name]


def measured() -> Hardware:
    """This machine, by the four things that a step of training does, each on a case larger than caches.

    Processes on one machine reach each other through its memory, which each byte crosses three times.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    random = torch.Generator(device).manual_seed(0)
    t, u, d, k = 512, 16384, 512, 32
    x, w = (torch.randn(n, d, generator=random, device=device) for n in (t, u))
    kind = torch.bfloat16 if bf16_is_quick(device) else torch.float32
    narrow, rounded, ones = x[:, :16].contiguous(), w.to(kind), torch.ones(u, device=device)
    kernels, few = kernels_for(x), w[:, :16].contiguous()
    product = x.to(kind) @ rounded.T
    picks = kernels.top_of_each(product, narrow, few, 0 * ones, ones, k)
    values, adam = torch.ones(len(picks), device=device), _adam(w)
    multiplying = _seconds(lambda: x.to(kind) @ rounded.T, device)
    screening = _seconds(lambda: kernels.top_of_each(product, narrow, few, 0 * ones, ones, k), device)
    adding = _seconds(lambda: kernels.mixed(values, w, picks), device)
    bandwidth = ADAM * w.numel() / _seconds(adam.step, device)
    return Hardware(
        "here", 2 * t * u * d / multiplying, _memory(device), bandwidth, t * u / screening,
        w[0].nbytes * len(picks) / adding, bandwidth / 3, bandwidth / 3, 1 << 20,
        f"measured on this machine, {torch.get_num_threads()} threads", 1.0, device.type == "cpu",
    )  # fmt: skip


def _adam(like: Tensor) -> torch.optim.Adam:
    parameter = torch.nn.Parameter(torch.zeros_like(like))
    parameter.grad = torch.ones_like(like)
    return torch.optim.Adam([parameter], fused=True)


def _memory(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """The median of some runs, after a first."""
    taken: list[float] = []
    for _ in range(8):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return sorted(taken[1:])[3]
