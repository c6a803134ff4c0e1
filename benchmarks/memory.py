"""Peak memory of a stretch of work, above what stood before it; Linux only, which can set its high-water mark back."""

import re
from pathlib import Path

from torch import nn

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(which: str) -> int:
    """Bytes: `VmRSS` now, `VmHWM` at most so far."""
    found = re.search(rf"^{which}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"{STATUS} has no {which}")
    return int(found[1]) * 1024


def touched(*modules: nn.Module) -> None:
    """Reads all weights, so that files which are mapped into memory are there before anything is measured."""
    for module in modules:
        for weight in module.parameters():
            weight.detach().sum()


class PeakAbove:
    """Within it the high-water mark counts anew; afterwards `bytes` says how far it rose above the beginning."""

    bytes: int

    def __enter__(self) -> "PeakAbove":
        CLEAR.write_text("5")
        self._before = resident("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = resident("VmHWM") - self._before
