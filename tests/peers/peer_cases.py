"""What every peer's script does: save small dictionaries of its own with what it makes of some inputs, or read ours.

Run by a peer's own interpreter: `PYTHON peer_saelens.py make FOLDER` or `… read FOLDER`. Of a case NAME there is the
folder (or file) NAME as the peer writes it, and NAME.npz with `x`, `codes` (dense) and `y`.
"""

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

D, E, UNITS, TOKENS = 8, 6, 16, 8


def shaken(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Parameters where no mistake cancels: no bias at zero, no two write vectors of one length, encoder apart."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            noise = torch.randn(parameter.shape, generator=random)
            if "threshold" in name:
                parameter.copy_(noise.abs() * 0.3 + 0.05)
            else:
                parameter.add_(0.3 * noise.to(parameter.dtype))
            if "W_dec" in name or name == "decoder.weight":
                by_unit = [UNITS if size == UNITS else 1 for size in parameter.shape]
                parameter.mul_(torch.linspace(0.5, 2.0, UNITS).view(by_unit))
    return module


def inputs(seed: int, *shape: int) -> torch.Tensor:
    """Inputs whose mean is far from zero."""
    return 0.7 + torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def keep(folder: Path, name: str, x: torch.Tensor, codes: torch.Tensor, y: torch.Tensor) -> None:
    """Writes what a peer made of inputs."""
    arrays = {"x": x, "codes": codes, "y": y}
    np.savez_compressed(folder / f"{name}.npz", **{k: v.detach().to(torch.float32).numpy() for k, v in arrays.items()})


def run(make: Callable[[Path], None], read: Callable[[Path], None] | None, package: str) -> None:
    """The command line of a script."""
    what, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    with torch.no_grad():
        (make if what == "make" else read)(folder)
    versions = {name: version(name) for name in (package, "torch")}
    (folder / "versions.json").write_text(json.dumps(versions) + "\n", encoding="utf-8")
