"""Training in several processes: units lie in columns of the mesh, parts of the batch in its rows.

Each process holds its share of read vectors, write vectors and of the optimiser's state, and nothing of the others';
b_dec and the skip are alike everywhere. It learns what one process would learn from the whole batch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributed import ReduceOp

from microtome.cluster.across import AcrossRanks
from microtome.cluster.collectives import average, gathered, gathered_lists, pieces, reduced
from microtome.cluster.crew import Processes
from microtome.cluster.mesh import Mesh
from microtome.cluster.parts import part
from microtome.core.errors import WrongUse
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.geometry import Geometry
from microtome.dictionary.share import Share, whole_of
from microtome.train import checkpoint
from microtome.train.resharding import of_block, write_sharded


class Together(Processes):
    """What `train.team.Team` asks for, on a mesh."""

    def device(self, asked: str | None) -> torch.device:
        """See `Team.device`."""
        return self.mesh.device

    def shares(self, geometry: Geometry) -> tuple[Share, ...]:
        """See `Team.shares`."""
        return shares_of(geometry, self.mesh)

    def part(self, rows: int) -> slice:
        """See `Team.part`."""
        return part_of_batch(rows, self.mesh)

    def average(self, dictionary: Dictionary) -> None:
        """See `Team.average`."""
        if self.mesh.rows > 1:
            average((p.grad for p in dictionary.parameters() if p.grad is not None), self.mesh.same_columns)

    def clipped(self, dictionary: Dictionary, limit: float) -> Float[Tensor, ""]:
        """See `Team.clipped`."""
        return clip_gradients(dictionary, self.mesh, limit)

    def summed(self, values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """See `Team.summed`; they travel together."""
        if self.mesh.rows == 1:
            return values
        flat = torch.cat([one.double().flatten() for one in values.values()])
        parts = reduced(flat, self.mesh.same_columns, ReduceOp.SUM).split([one.numel() for one in values.values()])
        return {name: own.view(one.shape) for (name, one), own in zip(values.items(), parts, strict=True)}

    def all_rows(self, x: Shaped[Tensor, "t *_"]) -> Shaped[Tensor, "n *_"]:
        """See `Team.all_rows`."""
        return gathered(x, self.mesh.same_columns).flatten(0, 1)

    def all_units(self, x: Shaped[Tensor, "u"]) -> Shaped[Tensor, "n"]:
        """See `Team.all_units`."""
        return torch.cat(gathered_lists(x, self.mesh.same_rows))

    def place(self, n: int) -> tuple[int, int]:
        """See `Team.place`."""
        counts = gathered(torch.tensor(n, device=self.mesh.device), self.mesh.same_rows).tolist()
        return sum(counts[: self.mesh.column_rank]), sum(counts)

    def largest(self, numbers: Sequence[int]) -> list[int]:
        """See `Team.largest`."""
        given = torch.tensor(list(numbers), device=self.mesh.device)
        return reduced(given, self.mesh.everyone, ReduceOp.MAX).tolist()

    def write(self, folder: Path, state: dict[str, Any], shares: Sequence[Sequence[Share]]) -> None:
        """See `Team.write`."""
        write_sharded(folder, state, shares, self.mesh)
        if self.leads:
            (folder / checkpoint.FILE).unlink(missing_ok=True)

    def whole(self, dictionary: Dictionary, shares: Sequence[Share]) -> Dictionary:
        """See `Team.whole`; it lies in main memory, in every process."""
        weights = {}
        for name, tensor in dictionary.state_dict().items():
            number = of_block(name)
            if number is None or not tensor.ndim:
                weights[name] = tensor.cpu()
                continue
            lengths = [len(part(shares[number].of, column, self.mesh.columns)) for column in range(self.mesh.columns)]
            weights[name] = torch.cat(list(pieces(tensor, lengths, self.mesh.same_rows)))
        geometry = whole_of(dictionary.geometry, shares)
        made = Dictionary(geometry, dictionary.architecture, dictionary.conventions, dictionary.card)
        made.load_state_dict(weights)
        return made


def shares_of(geometry: Geometry, mesh: Mesh) -> tuple[Share, ...]:
    """Which units of each block this process holds.

    Raises:
        WrongUse: a block has fewer units than there are columns.
    """
    across = AcrossRanks(mesh)
    found = []
    for number, block in geometry.numbered:
        own = part(block.units, mesh.column_rank, mesh.columns)
        if block.units < mesh.columns:
            raise WrongUse(
                f"divide the units of block {number} over {mesh.columns} processes", found=f"{block.units} units",
                do="divide them over fewer",
            )  # fmt: skip
        found.append(Share(own.start, len(own), block.units, across))
    return tuple(found)


def part_of_batch(rows: int, mesh: Mesh) -> slice:
    """This process's part of a batch of which all draw the same: so one checkpoint serves any number of them.

    Raises:
        WrongUse: the batch cannot be divided into equal parts.
    """
    if rows % mesh.rows:
        raise WrongUse(
            f"divide a batch over {mesh.rows} processes", found=f"{rows:,} tokens", do=f"give a multiple of {mesh.rows}"
        )
    own = part(rows, mesh.row_rank, mesh.rows)
    return slice(own.start, own.stop)


def clip_gradients(dictionary: Dictionary, mesh: Mesh, limit: float) -> Float[Tensor, ""]:
    """Cuts gradients to a length over all processes' parameters, and returns what it was before."""
    squares = {name: p.grad.square().sum() for name, p in dictionary.named_parameters() if p.grad is not None}
    zero = dictionary.b_dec.new_zeros(())
    own = sum((one for name, one in squares.items() if of_block(name) is not None), zero)
    alike = sum((one for name, one in squares.items() if of_block(name) is None), zero)
    length = (reduced(own, mesh.same_rows, ReduceOp.SUM) + alike).sqrt()
    torch.nn.utils.clip_grads_with_norm_(dictionary.parameters(), limit, length)
    return length
