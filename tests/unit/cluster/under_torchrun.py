"""What the test starts with torchrun: each process writes its place, and one sum over all."""

import sys
from pathlib import Path

import torch
from torch.distributed import ReduceOp

from microtome.cluster.collectives import reduced
from microtome.cluster.mesh import joined

if __name__ == "__main__":
    with joined(columns=2) as mesh:
        total = reduced(torch.tensor(1.0 + mesh.column_rank), mesh.everyone, ReduceOp.SUM)
        place = f"{mesh.row_rank} of {mesh.rows}, {mesh.column_rank} of {mesh.columns}, {total:g}"
        Path(sys.argv[1], str(mesh.column_rank)).write_text(place)
