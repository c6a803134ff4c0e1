"""Hardware by name: what its maker says it does at most, and the share of it that is reckoned with; or as measured."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from microtome.core.config import Config
from microtome.core.errors import UnknownName
from microtome.dictionary.choosing import bf16_is_quick

TERA, GIGA = 1e12, 1e9


@dataclass(frozen=True)
class Hardware(Config):
    """One processor of a kind, and how it reaches others.

    Attributes:
        name: what the user types.
        matmul: FLOP/s of dense bf16 products with float32 sums.
        memory: bytes.
        bandwidth: of memory, bytes/s.
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
    near: float
    far: float
    node: int
    source: str
    attained: float = 0.5
    compiled: bool = False


_NVIDIA = "NVIDIA's data sheet, without structured sparsity"
HARDWARE = {
    one.name: one
    for one in (
        Hardware("a100", 312 * TERA, 80 * GIGA, 2.04 * TERA, 300 * GIGA, 25 * GIGA, 8,
                 f"{_NVIDIA}: A100 80GB SXM, NVLink 3; 200 Gbit/s InfiniBand each"),
        Hardware("h100", 989 * TERA, 80 * GIGA, 3.35 * TERA, 450 * GIGA, 50 * GIGA, 8,
                 f"{_NVIDIA}: H100 SXM, NVLink 4; 400 Gbit/s InfiniBand each"),
        Hardware("h200", 989 * TERA, 141 * GIGA, 4.8 * TERA, 450 * GIGA, 50 * GIGA, 8,
                 f"{_NVIDIA}: H200 SXM, NVLink 4; 400 Gbit/s InfiniBand each"),
        Hardware("b200", 2250 * TERA, 180 * GIGA, 7.7 * TERA, 900 * GIGA, 50 * GIGA, 8,
                 f"{_NVIDIA}: B200 in DGX, NVLink 5; 400 Gbit/s InfiniBand each"),
    )
}  # fmt: skip


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
    """This machine: the rate of the product that screens units, and of adding to tensors larger than its caches.

    Processes on one machine reach each other through its memory, which each byte crosses three times.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = torch.bfloat16 if bf16_is_quick(device) else torch.float32
    x = torch.randn(1024, 512, device=device).to(kind)
    w = torch.randn(4096, 512, device=device).to(kind)
    product = _seconds(lambda: x @ w.T, device)
    a, b = torch.zeros(1 << 24, device=device), torch.ones(1 << 24, device=device)
    added = _seconds(lambda: a.add_(b), device)
    bandwidth = 3 * a.nbytes / added
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
    else:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Hardware(
        "here", 2 * 1024 * 512 * 4096 / product, float(memory), bandwidth, bandwidth / 3, bandwidth / 3, 1 << 20,
        f"measured on this machine, {torch.get_num_threads()} threads", 1.0, device.type == "cpu",
    )  # fmt: skip


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
