"""Hardware by name: what its maker says it does at most, and the share of it that is reckoned with; or as measured."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from microtome.core.config import Config
from microtome.core.errors import UnknownName
from microtome.dictionary.choosing import rows_at_once, screened_in
from microtome.dictionary.codes import Picks
from microtome.dictionary.sparse import kernels_for

TERA, GIGA = 1e12, 1e9
# Bytes that a step reads and writes for a number: Adam reads four and writes three, of four each; its gradient is
# cleared, measured, and cut.
STEP = 44
# Share of the rate of float32 products that a harvest attains: attention, norms, tokenising and writing are the rest.
HARVESTED = 0.7
# Numbers of a matrix that this machine is measured on, at least, and of the parameters of Adam's step at most: some
# caches hold as much as the one, none as much as the other.
NUMBERS, MOST = 1 << 23, 1 << 25


@dataclass(frozen=True)
class Hardware(Config):
    """One processor of a kind, and how it reaches others.

    Attributes:
        name: what the user types.
        matmul: FLOP/s of dense products with float32 sums, of bf16 numbers where these are quicker.
        memory: bytes.
        bandwidth: of memory, bytes/s.
        scores: of units and tokens that are screened in a second.
        rows: bytes/s of rows that lie anywhere, read and added up.
        near: bytes/s that each sends to others in its node.
        far: bytes/s that each sends to another node.
        node: processors in a node.
        source: where the figures are from.
        attained: share of the figures that is reckoned with. 1 where they were measured, each alone.
        running: FLOP/s of a model that is run to harvest.
        compiled: whether sparse products are the compiled ones, which keep no table of scores.
        screened: bytes of a number in the product that screens units; 4 where bf16 is not quicker than float32.
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
    running: float
    attained: float = 0.5
    compiled: bool = False
    screened: int = 2


# Bytes that pass through memory for a score where the choice is plain torch: product, sums, scores, their sorting.
SCORE = 28


def _nvidia(
    name: str, tflops: float, gigabytes: float, terabytes: float, wires: tuple[float, float], parts: str
) -> Hardware:
    near, far = wires
    return Hardware(
        name, tflops * TERA, gigabytes * GIGA, terabytes * TERA, terabytes * TERA / SCORE, terabytes * TERA,
        near * GIGA, far * GIGA, 8, f"NVIDIA's data sheet, without structured sparsity: {parts}, InfiniBand each",
        tflops * TERA,
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


def measured(d: int = 512, units: int = 16384, k: int = 32) -> Hardware:
    """This machine, by what a step of training does, each at the sizes asked for, of many units on some.

    Processes on one machine reach each other through its memory, which each byte crosses three times.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    random = torch.Generator(device).manual_seed(0)
    kind = screened_in(device)
    u = min(units, max(NUMBERS // d, 4 * k))
    t = min(rows_at_once(u, on_cpu=device.type == "cpu"), max(k, NUMBERS // d))
    x, w = (torch.randn(n, d, generator=random, device=device) for n in (t, u))
    narrow = x.to(kind)
    rounded = w.to(kind).T
    ones = torch.ones(u, device=device)
    few, fewer = x[:, :16].contiguous(), w[:, :16].contiguous()
    kernels = kernels_for(x)
    product = narrow @ rounded
    whole = x @ w.T
    picks = kernels.top_of_each(product, few, fewer, 0 * ones, ones, min(k, u))
    parameters = min(max(2 * d * units, NUMBERS), MOST)
    values = torch.ones(len(picks), device=device)
    stepped = _step(torch.zeros(parameters, device=device))
    multiplying = _seconds(lambda: torch.mm(narrow, rounded, out=product), device)
    screening = _seconds(lambda: kernels.top_of_each(product, few, fewer, 0 * ones, ones, min(k, u)), device)
    adding = _seconds(lambda: _sparse(kernels, x, w, values, picks), device)
    bandwidth = STEP * parameters / _seconds(stepped, device)
    return Hardware(
        "here", 2 * t * u * d / multiplying, _memory(device), bandwidth, t * u / screening,
        3 * w[0].nbytes * len(picks) / adding, bandwidth / 3, bandwidth / 3, 1 << 20,
        f"measured on this machine, {torch.get_num_threads()} threads",
        2 * t * u * d / _seconds(lambda: torch.mm(x, w.T, out=whole), device) * HARVESTED, 1.0,
        device.type == "cpu", kind.itemsize,
    )  # fmt: skip


def _sparse(kernels: ModuleType, x: Tensor, w: Tensor, values: Tensor, picks: Picks) -> None:
    kernels.mixed(values, w, picks)
    kernels.gathered(values, x, picks)
    kernels.dots(x, w, picks)


def _step(like: Tensor) -> Callable[[], object]:
    """What is done to all parameters once gradients are there: cleared, measured, cut, and followed by Adam."""
    parameter = torch.nn.Parameter(torch.zeros_like(like))
    parameter.grad = torch.ones_like(like)
    adam = torch.optim.Adam([parameter], fused=True)

    def run() -> None:
        adam.zero_grad(set_to_none=False)
        torch.nn.utils.clip_grad_norm_(parameter, 1.0)
        adam.step()

    return run


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
