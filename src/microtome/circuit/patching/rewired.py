"""A pass of the module in which every reader reads what its own edges bring.

Where an edge is patched, its reader gets the source's output of another run instead of this pass's own. A reader is
given `stream + Σ over its patched edges (other output − current output)`, so a pass without patched edges is the
untouched pass to the last bit, and one with all of them patched gives the other run's logits. Readers are
recomputed by the module's own norms and projections; what they then do is live.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.circuit.patching.components import PARTS, Components
from microtome.circuit.patching.outputs import head_outputs
from microtome.circuit.patching.projecting import Projections
from microtome.model import edits
from microtome.model.edits import Edit

AT_ONCE = 16_384
"""Tokens that are projected together."""


class Rewiring:
    """The edits of one pass.

    Args:
        components: of the network.
        projections: of prompts of this length.
        other: every source's output in the other run.
        patched: which edges bring it, in each row of the pass or in all.
    """

    def __init__(
        self,
        components: Components,
        projections: Projections,
        other: Float[Tensor, "n s p d"],
        patched: Bool[Tensor, "#n s r"],
    ):
        self.components, self.projections = components, projections
        self._change = other.clone()
        """Other output minus this pass's; before a source has run, its other output."""
        self._patched = (patched & components.exists).to(other.device).expand(len(other), -1, -1)
        self._stream = self._attended = other[:, 0]

    def edits(self) -> list[Edit]:
        """What makes a pass the rewired one; they serve one pass."""
        made = [self._at("embed", self._embed)]
        for i in range(self.components.n_layers):
            made.append(self._at(f"resid.{i}", self._enter))
            made += [self._at(f"attn.{part}.{i}", partial(self._project, i, part)) for part in PARTS]
            made.append(self._at(f"attn.heads.{i}", partial(self._heads, i)))
            made.append(self._at(f"attn.out.{i}", self._attend))
            made.append(self._at(f"mlp.in.{i}", partial(self._mlp_in, i)))
            made.append(self._at(f"mlp.out.{i}", partial(self._mlp_out, i)))
        return [*made, self._at("resid.final", self._final)]

    def _at(self, site: str, function: Callable[[Tensor], Tensor]) -> Edit:
        return edits.set(site, function, may_be_empty=True)

    def _embed(self, x: Tensor) -> Tensor:
        self._change[:, 0] -= x
        return x

    def _enter(self, x: Tensor) -> Tensor:
        self._stream = x
        return x

    def _heads(self, index: int, x: Tensor) -> Tensor:
        layer = self.projections.anatomy.layers[index]
        self._change[:, self.components.heads(index)] -= head_outputs(layer, x)
        return x

    def _attend(self, x: Tensor) -> Tensor:
        self._attended = x
        return x

    def _mlp_out(self, index: int, x: Tensor) -> Tensor:
        self._change[:, self.components.mlp(index)] -= x
        return x

    def _project(self, index: int, part: str, x: Tensor) -> Tensor:
        """Puts in the heads whose readers have a patched edge."""
        readers = self.components.part(index, part)
        rows, heads = self._touched(readers)
        if not len(rows):
            return x
        new, size = x.clone(), max(1, AT_ONCE // x.shape[1])
        for some in torch.arange(len(rows), device=x.device).split(size):
            row, head = rows[some], heads[some]
            stream = self._stream[row] + self._brought(row, readers.start + head)
            made = self.projections(index, stream, last=part)[part]
            new[row, :, head] = made[torch.arange(len(some), device=x.device), :, head]
        return new

    def _mlp_in(self, index: int, x: Tensor) -> Tensor:
        readers = self.components.part(index, "mlp")
        rows, _ = self._touched(readers)
        if not len(rows):
            return x
        stream = self._stream if self.components.parallel else self._stream + self._attended
        brought = stream[rows] + self._brought(rows, torch.full_like(rows, readers.start))
        path = self.projections.anatomy.family.mlp_norm
        return x.index_copy(0, rows, self.projections.normed(path, index, brought))

    def _final(self, x: Tensor) -> Tensor:
        readers = slice(len(self.components.readers) - 1, len(self.components.readers))
        rows, _ = self._touched(readers)
        if not len(rows):
            return x
        return x.index_add(0, rows, self._brought(rows, torch.full_like(rows, readers.start)))

    def _touched(self, readers: slice) -> tuple[Tensor, Tensor]:
        rows, which = self._patched[:, :, readers].any(1).nonzero(as_tuple=True)
        return rows, which

    def _brought(self, rows: Tensor, readers: Tensor) -> Float[Tensor, "k p d"]:
        """What patched edges change for some readers in some rows, `[k]` each."""
        n = self.components.before(self.components.readers[int(readers[0])])
        found = self._change.new_empty(len(rows), *self._change.shape[2:])
        for row in rows.unique().tolist():
            mine = rows == row
            chosen = self._patched[row, :n, readers[mine]].T.to(self._change)
            found[mine] = torch.einsum("ks,spd->kpd", chosen, self._change[row, :n])
        return found
