"""What the benchmarks share: alternating runs, medians, and the machine in a line."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping

import torch
import transformers


def medians(cases: Mapping[str, Callable[[], object]], rounds: int = 7) -> dict[str, float]:
    """Seconds of each case, the median over rounds in which every case runs once, after one that warms up."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for lap in range(rounds + 1):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            if lap:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def machine() -> str:
    """Where this runs, for the record."""
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads; "
        f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}"
    )
