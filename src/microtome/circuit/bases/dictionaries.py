"""Units of a dictionary: SAEs of the stream and of branches, transcoders, cross-layer transcoders, crosscoders.

Read vectors are encoder rows, write vectors decoder rows. Which units are active, norm scales and the size of tokens
are held at the prompt. What a dictionary does not reconstruct of a place is an error, which comes from nowhere.
"""

import copy
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microtome.circuit.basis import Slice, Written
from microtome.circuit.placeable import require_places, stream_place
from microtome.circuit.places import Place, place_of
from microtome.circuit.standing import norm_before, onto_stream, standing
from microtome.core.fingerprint import of_module, of_value
from microtome.dictionary.basis import At, Beside, Lines, on_prompt
from microtome.dictionary.blockwise import active
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


class DictionaryBlock:
    """One block of a dictionary: those of its units that are active on one of the prompts.

    Args:
        frozen: the prompt.
        found: what the dictionary finds there.
        origin: the dictionary's fingerprint.
        ids: of the units that get a column, counted from the block's first, rising.
    """

    def __init__(self, frozen: Frozen, found: At, origin: str, ids: Int[Tensor, "u"]):
        lines, n_layers = found.lines, len(frozen.layers)
        self.frozen, self.dictionary, self.origin = frozen, lines.dictionary, origin
        self.ids, self.columns, self._number = ids + lines.first, ids, lines.number
        self.n_units = lines.block.block.units
        self.sites, self.live = tuple(lines.given), tuple(lines.returned)
        self.name = self.live[0]
        self._read = {place_of(site, n_layers): _Read(lines, site, ids) for site in self.sites}
        self._written = {stream_place(site, n_layers): _Wrote(frozen, lines, site, ids) for site in self.live}
        self._constants = lines.constants(ids)
        self.reads, self.writes = tuple(self._read), tuple(self._written)
        self.layer = min(max(place.layer for place in self.reads), n_layers - 1)
        self.values = next(iter(lines.given.values())).new_zeros(frozen.n_positions, len(ids))
        self.values[found.positions, torch.searchsorted(ids, found.ids)] = found.values
        self._active = (self.values != 0).to(self.values)

    @property
    def norms(self) -> Float[Tensor, "p u"]:
        """See `BlockUnits.norms`."""
        return torch.stack([one.lengths.square() for one in self._written.values()]).sum(0).sqrt()

    def read(self, place: Place, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n w"]:
        """See `BlockUnits.read`: nothing where the unit is not active, as for a neuron whose ReLU is shut."""
        one = self._read[place]
        size = one.given[positions] * self._active[positions, columns, None]
        return onto_stream(self.frozen, place, one.vectors[columns] * size, positions)

    def read_constant(self, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """See `BlockUnits.read_constant`."""
        constant = self._constants[columns]
        for place, one in self._read.items():
            norm = norm_before(self.frozen, place)[0]
            if norm is not None and norm.bias is not None:
                constant = constant + one.given[positions, 0] * (one.vectors[columns] @ norm.bias)
        return constant * self._active[positions, columns]

    def write(self, place: Place, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """See `BlockUnits.write`."""
        one = self._written[place]
        return one.to_stream(one.vectors[columns]) * one.scale[positions]

    def decode(self, place: Place, values: Float[Tensor, "p u"]) -> Float[Tensor, "p d"]:
        """See `BlockUnits.decode`."""
        one = self._written[place]
        return one.to_stream(values @ one.vectors.to(values)) * one.scale

    def gradients(self, place: Place, g: Float[Tensor, "p d"]) -> Float[Tensor, "p u"]:
        """See `BlockUnits.gradients`."""
        one = self._written[place]
        return one.from_stream(g * one.scale) @ one.vectors.T

    def pull(self, place: Place, gradients: Float[Tensor, "p u"]) -> Float[Tensor, "p w"]:
        """See `BlockUnits.pull`."""
        one = self._read[place]
        return onto_stream(self.frozen, place, (gradients * self._active) @ one.vectors * one.given, slice(None))

    def live_gradients(self, found: Mapping[str, Tensor]) -> Float[Tensor, "p u"]:
        """See `BlockUnits.live_gradients`."""
        parts = [(found[one.site].flatten(1) * one.returned) @ one.vectors.T for one in self._written.values()]
        return torch.stack(parts).sum(0)

    def means(self, x: Mapping[str, Tensor]) -> Float[Tensor, "n_units"]:
        """See `BlockUnits.means`."""
        flat = {site: x[site].flatten(1) for site in self.sites}
        found = active(self.dictionary, self._number, flat)
        total = found.values.new_zeros(self.n_units).index_add(0, found.picks.ids, found.values.detach())
        return total / len(flat[self.sites[0]])

    def set(self, values: Float[Tensor, "p u"], where: Bool[Tensor, "s p u"]) -> Edit:
        """See `BlockUnits.set`."""
        return edits.set(self.dictionary, values[None], units=self.ids, where=where, may_be_empty=True)


class _Read:
    """Read vectors at one site, `[u, d]`, and what each token is multiplied by before, `[p, 1]`."""

    def __init__(self, lines: Lines, site: str, ids: Int[Tensor, "u"]):
        self.vectors, self.given = lines.reads(site, ids), lines.given[site]


class _Wrote:
    """Write vectors at one site, `[u, e]`, and their way onto the stream: through W_O where the site is heads.

    Attributes:
        returned: what is written at the site is multiplied by, `[p, 1]`; `scale`: on the stream.
    """

    def __init__(self, frozen: Frozen, lines: Lines, site: str, ids: Int[Tensor, "u"]):
        place = place_of(site, len(frozen.layers))
        self.site, self.vectors, self.returned = site, lines.writes(site, ids), lines.returned[site]
        self.heads = frozen.layers[place.layer].attention if place.kind == "attn.heads" else None
        self.scale = self.returned if self.heads is None else self.returned * self.heads.heads_scale

    def to_stream(self, vectors: Float[Tensor, "n e"]) -> Float[Tensor, "n d"]:
        return vectors if self.heads is None else self.heads.push_outputs(vectors[None])[0]

    def from_stream(self, g: Float[Tensor, "p d"]) -> Float[Tensor, "p e"]:
        return g if self.heads is None else self.heads.pull_outputs(g[None])[0]

    @property
    def lengths(self) -> Float[Tensor, "p u"]:
        """Of what one unit of activation writes."""
        return self.to_stream(self.vectors).norm(dim=1) * self.scale


class DictionaryUnits:
    """The blocks of a dictionary. See `Part`.

    Args:
        dictionary: whose units these are.
        model: which they are units of.

    Raises:
        NotSupported, WrongUse: see `placeable.require_places`.
    """

    def __init__(self, dictionary: Dictionary, model: Model):
        require_places(dictionary, model)
        self.dictionary = as_model(dictionary, model)
        self.card = {
            "weights": of_module(dictionary),
            "writes": list(dictionary.writes),
            "units": dictionary.n_units,
        }
        self.origin = _origin(dictionary, self.card["weights"])

    def cut(self, prompts: Sequence[Frozen]) -> list[Slice]:
        """See `Part.cut`."""
        geometry = self.dictionary.geometry
        found = [
            on_prompt(
                self.dictionary, _all(prompt, geometry.reads), _all(prompt, geometry.writes),
                range(len(geometry.blocks)),
            )
            for prompt in prompts
        ]  # fmt: skip
        by_block = zip(*(blocks for blocks, _ in found), strict=True)
        columns = [torch.cat([one.ids for one in same]).unique() for same in by_block]
        return [
            _slice(prompt, blocks, beside, self.origin, columns)
            for prompt, (blocks, beside) in zip(prompts, found, strict=True)
        ]


def _slice(prompt: Frozen, blocks: list[At], beside: dict[str, Beside], origin: str, columns: list[Tensor]) -> Slice:
    made = [DictionaryBlock(prompt, one, origin, ids) for one, ids in zip(blocks, columns, strict=True)]
    n_layers = len(prompt.layers)
    return Slice(made, {stream_place(site, n_layers): _beside(prompt, site, one) for site, one in beside.items()})


def _beside(prompt: Frozen, site: str, found: Beside) -> Written:
    """What stands at a site beside the units, on the stream."""
    place = place_of(site, len(prompt.layers))
    if place.kind == "attn.heads":
        layer = prompt.layers[place.layer]
        return Written(
            layer.attention.heads_to_stream(found.bias) + layer.attention.output_constant,
            layer.attention.heads_to_stream(found.error),
        )
    if found.skip is None:
        return Written(found.bias, found.error)
    layer = prompt.layers[place.layer]
    norm = layer.layer.mlp_norm
    constant = found.bias if norm is None or norm.bias is None else found.bias + found.skip @ norm.bias
    return Written(constant, found.error, LinearSkip(layer, found.skip))


def _all(prompt: Frozen, sites: Sequence[str]) -> dict[str, Float[Tensor, "p w"]]:
    return {site: standing(prompt, site) for site in sites}


def _origin(dictionary: Dictionary, weights: str) -> str:
    """All that says which units these are and when they are active: settings are no weights."""
    architecture = dictionary.architecture
    settings = (dictionary.geometry, architecture, dictionary.conventions)
    return of_value([weights, architecture.name, *(one.to_dict() for one in settings)])


def as_model(dictionary: Dictionary, model: Model) -> Dictionary:
    """The dictionary on the device and in the dtype of a model; a copy where it is elsewhere."""
    weight = next(model.module.parameters())
    same = dictionary.b_dec.device == weight.device and dictionary.b_dec.dtype == weight.dtype
    return dictionary if same else copy.deepcopy(dictionary).to(weight)
