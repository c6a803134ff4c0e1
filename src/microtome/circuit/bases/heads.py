"""Heads: coordinates of what each head mixes, before W_O. They need no training and leave no error."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from microtome.circuit.basis import BASES, Basis, Slice, Written
from microtome.circuit.places import Place
from microtome.model import edits
from microtome.model.edits import Edit
from microtome.model.frozen import Frozen, FrozenLayer


class HeadBlock:
    """Coordinates of one layer's heads, all heads side by side: unit `h · c + i` is coordinate i of head h.

    What a coordinate reads is what its head mixes at the frozen pattern, from values at the keys.
    """

    def __init__(self, frozen: FrozenLayer):
        self.attention, self.layer = frozen.attention, frozen.index
        self.values, self.n_units = frozen.attention.heads, frozen.attention.heads.shape[1]
        self.ids = self.columns = torch.arange(self.n_units, device=self.values.device)
        self.name, self.origin = f"attn.heads.{self.layer}", ""
        self.sites = self.live = (self.name,)
        self.reads, self.writes = (Place(self.layer, "attn.heads"),), (Place(self.layer, "attn.out"),)
        self._sizes = frozen.layer.sizes

    @property
    def norms(self) -> Float[Tensor, "p u"]:
        """See `BlockUnits.norms`."""
        return self.attention.heads_scale * self.attention.head_writes.norm(dim=0)

    def read(self, place: Place, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n hc"]:
        """See `BlockUnits.read`."""
        return one_hot(columns, self.n_units).to(self.values) / self.attention.heads_scale[positions]

    def read_constant(self, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """See `BlockUnits.read_constant`: biases of values arrive with what the heads mix."""
        return self.values.new_zeros(len(columns))

    def write(self, place: Place, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """See `BlockUnits.write`."""
        return self.attention.head_writes[:, columns].T * self.attention.heads_scale[positions]

    def decode(self, place: Place, values: Float[Tensor, "p u"]) -> Float[Tensor, "p d"]:
        """See `BlockUnits.decode`."""
        return self.attention.heads_to_stream(values)

    def gradients(self, place: Place, g: Float[Tensor, "p d"]) -> Float[Tensor, "p u"]:
        """See `BlockUnits.gradients`."""
        return self.attention.pull_outputs(g[None])[0] * self.attention.heads_scale

    def pull(self, place: Place, gradients: Float[Tensor, "p u"]) -> Float[Tensor, "p hc"]:
        """See `BlockUnits.pull`."""
        return gradients / self.attention.heads_scale

    def live_gradients(self, found: Mapping[str, Tensor]) -> Float[Tensor, "p u"]:
        """See `BlockUnits.live_gradients`."""
        return found[self.name].flatten(1)

    def means(self, x: Mapping[str, Tensor]) -> Float[Tensor, "u"]:
        """See `BlockUnits.means`."""
        return x[self.name].flatten(1).mean(0)

    def set(self, values: Float[Tensor, "p u"], where: Bool[Tensor, "s p u"]) -> Edit:
        """See `BlockUnits.set`."""
        heads = (self._sizes.h, self._sizes.c)
        mask = where.unflatten(-1, heads)
        return edits.set(self.name, values.unflatten(-1, heads)[None], where=mask, may_be_empty=True)


class Heads:
    """Every coordinate of every head."""

    def cut(self, prompts: Sequence[Frozen]) -> list[Slice]:
        """See `Part.cut`."""
        return [
            Slice(
                [HeadBlock(layer) for layer in prompt.layers],
                {Place(layer.index, "attn.out"): Written(layer.attention.output_constant) for layer in prompt.layers},
            )
            for prompt in prompts
        ]


HEADS = BASES.add(
    "heads",
    Basis("heads", {"heads": "coordinates"}, (Heads(),)),
    summary="coordinates of attention heads before W_O, and neurons; no training, no error",
    home=__name__,
)
