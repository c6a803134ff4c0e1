"""Units of a dictionary: transcoders, which say in their own units what an MLP does, and leave an error.

Read vectors are encoder rows, write vectors decoder rows. Which units are active, norm scales and the size of tokens
are held at the prompt. What transcoders do not reconstruct is an error, which comes from nowhere.
"""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microtome.circuit.bases.neurons import NeuronLayer
from microtome.circuit.basis import Cut, LayerUnits, Skip
from microtome.core.errors import WrongUse
from microtome.core.fingerprint import of_tensors
from microtome.dictionary.basis import At, layers_of
from microtome.dictionary.dictionary import Dictionary
from microtome.model import edits
from microtome.model.edits import Edit
from microtome.model.frozen import Frozen, FrozenLayer
from microtome.model.model import Model


class LinearSkip:
    """A dictionary's skip with the norm before it held. See `Skip`."""

    def __init__(self, frozen: FrozenLayer, weights: Float[Tensor, "d d"]):
        self.frozen, self.weights = frozen, weights

    def push(self, x: Float[Tensor, "n p d"], start: int = 0) -> Float[Tensor, "n p d"]:
        """See `Skip.push`."""
        norm, scale = self.frozen.layer.mlp_norm, self.frozen.mlp_scale
        if norm is not None and scale is not None:
            x = norm.push(x, scale[start : start + x.shape[1]]).to(x)
        return x @ self.weights.to(x).T

    def pull(self, g: Float[Tensor, "n p d"], start: int = 0) -> Float[Tensor, "n p d"]:
        """See `Skip.pull`."""
        norm, scale, g = self.frozen.layer.mlp_norm, self.frozen.mlp_scale, g @ self.weights.to(g)
        return g if norm is None or scale is None else norm.pull(g, scale[start : start + g.shape[1]])


class CodedLayer:
    """A layer in the units of its transcoder: those that are active on one of the prompts.

    Args:
        frozen: the layer.
        found: what the dictionary finds there.
        ids: of the units that get a column, counted from the layer's first, rising.
    """

    def __init__(self, frozen: FrozenLayer, found: At, ids: Int[Tensor, "u"]):
        lines, dictionary = found.lines, found.lines.dictionary
        self.frozen, self.dictionary, self.ids = frozen, dictionary, ids + lines.first
        self.n_units = lines.block.block.units
        self.values = found.bias.new_zeros(len(found.bias), len(ids))
        self.values[found.positions, torch.searchsorted(ids, found.ids)] = found.values
        self.error: Float[Tensor, "p d"] | None = found.error
        self.skip: Skip | None = None if found.skip is None else LinearSkip(frozen, found.skip)
        self.reads, self.writes = f"mlp.in.{frozen.index}", f"mlp.out.{frozen.index}"
        self._given, self._returned = lines.given, lines.returned
        self._constant = _constant(frozen, found)
        self._encoder, self._constants, self._decoder = lines.reads(ids), lines.constants(ids), lines.writes(ids)
        self._active = (self.values != 0).to(self.values)

    @property
    def constant(self) -> Float[Tensor, "p d"]:
        """See `LayerUnits.constant`."""
        return self._constant

    @property
    def norms(self) -> Float[Tensor, "p u"]:
        """See `LayerUnits.norms`."""
        return self._returned * self._decoder.norm(dim=1)

    def read(self, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """See `LayerUnits.read`: nothing where the unit is not active, as for a neuron whose ReLU is shut."""
        size = self._given[positions] * self._active[positions, columns, None]
        return self._on_stream(self._encoder[columns] * size, positions)

    def read_constant(self, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """See `LayerUnits.read_constant`."""
        norm, constant = self.frozen.layer.mlp_norm, self._constants[columns]
        if norm is not None and norm.bias is not None:
            constant = constant + self._given[positions, 0] * (self._encoder[columns] @ norm.bias)
        return constant * self._active[positions, columns]

    def write(self, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """See `LayerUnits.write`."""
        return self._decoder[columns] * self._returned[positions]

    def written(self, values: Float[Tensor, "p u"]) -> Float[Tensor, "p d"]:
        """See `LayerUnits.written`."""
        return (values @ self._decoder.to(values)) * self._returned

    def gradients(self, g: Float[Tensor, "p d"]) -> Float[Tensor, "p u"]:
        """See `LayerUnits.gradients`."""
        return (g * self._returned) @ self._decoder.T

    def pull(self, gradients: Float[Tensor, "p u"]) -> Float[Tensor, "p d"]:
        """See `LayerUnits.pull`."""
        return self._on_stream((gradients * self._active) @ self._encoder * self._given, slice(None))

    def live_gradients(self, g: Float[Tensor, "p d"]) -> Float[Tensor, "p u"]:
        """See `LayerUnits.live_gradients`."""
        return self.gradients(g)

    def amounts(self, x: Float[Tensor, "*b p d"]) -> Float[Tensor, "*b p u"]:
        """See `LayerUnits.amounts`."""
        return self.dictionary.coder.amounts(self.ids.tolist(), {self.reads: x}).to(x)

    def set(self, values: Float[Tensor, "p u"], where: Bool[Tensor, "s p u"]) -> Edit:
        """See `LayerUnits.set`."""
        return edits.set(self.dictionary, values[None], units=self.ids, where=where, may_be_empty=True)

    def _on_stream(self, vectors: Float[Tensor, "n d"], positions: Int[Tensor, "n"] | slice) -> Float[Tensor, "n d"]:
        """Vectors on what the MLP reads, as vectors on the stream before its norm."""
        norm, scale = self.frozen.layer.mlp_norm, self.frozen.mlp_scale
        return vectors if norm is None or scale is None else norm.pull(vectors, scale[positions])


def _constant(frozen: FrozenLayer, found: At) -> Float[Tensor, "p d"]:
    """What a transcoder writes without any unit, and what its skip makes of the norm's bias."""
    norm = frozen.layer.mlp_norm
    if found.skip is None or norm is None or norm.bias is None:
        return found.bias
    return found.bias + found.skip @ norm.bias


class Transcoders:
    """Units of a dictionary with a block for each MLP; where a layer has none, its neurons are its units.

    Args:
        dictionary: whose units these are.
        model: which they are units of.
        name: what the user calls it.

    Raises:
        NotSupported: units that are of no one MLP.
        WrongUse: none of a layer of this model.
    """

    def __init__(self, dictionary: Dictionary, model: Model, name: str):
        covered, weight = layers_of(dictionary), next(model.module.parameters())
        if not covered or covered[-1] >= model.n_layers:
            raise WrongUse(
                f"take {dictionary} as a basis of {model.name!r}",
                found=f"units of the layers {', '.join(map(str, covered))} in a model of {model.n_layers} layers",
                do="give the transcoders of this model",
            )
        weights = of_tensors(sorted(dictionary.state_dict().items()))
        self.name, self.card = name, {"weights": weights, "layers": list(covered), "units": dictionary.n_units}
        same = dictionary.b_dec.device == weight.device and dictionary.b_dec.dtype == weight.dtype
        self.dictionary = dictionary if same else copy.deepcopy(dictionary).to(weight)
        self._covered = frozenset(covered)

    def cut(self, clean: Frozen, other: Frozen | None) -> tuple[Cut, Cut | None]:
        """See `Basis.cut`."""
        prompts = [clean] if other is None else [clean, other]
        layers = [self._cut([prompt.layers[i] for prompt in prompts]) for i in range(len(clean.layers))]
        cuts = [Cut(prompt, units) for prompt, units in zip(prompts, zip(*layers, strict=True), strict=True)]
        return cuts[0], cuts[1] if len(cuts) > 1 else None

    def _cut(self, prompts: list[FrozenLayer]) -> Sequence[LayerUnits]:
        """One layer of each prompt."""
        index = prompts[0].index
        if index not in self._covered:
            return [NeuronLayer(one) for one in prompts]
        found = [self.dictionary.at(index, one.mlp_in, one.mlp_out) for one in prompts]
        ids = torch.cat([one.ids for one in found]).unique()
        return [CodedLayer(layer, one, ids) for layer, one in zip(prompts, found, strict=True)]
