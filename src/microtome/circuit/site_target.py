"""Targets inside the model: what stands at a site in one direction, a neuron, a unit of a dictionary, a probe."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.circuit.bases.dictionaries import DictionaryBlock, as_model
from microtome.circuit.basis import Cut
from microtome.circuit.placeable import require_places
from microtome.circuit.placed import Placed
from microtome.circuit.places import Place, leaving, place_of, reading
from microtome.circuit.standing import norm_before, onto_stream, standing
from microtome.circuit.target import Live
from microtome.core.errors import SiteNotFound, WrongUse
from microtome.dictionary.basis import at
from microtome.dictionary.blockwise import line_value
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.exchange import load_dictionary
from microtome.model import edits
from microtome.model.anatomy import Anatomy
from microtome.model.edits import Edit
from microtome.model.frozen import Frozen
from microtome.model.model import Model
from microtome.model.run import Run

NEURONS = "mlp.neurons"


def target(
    where: str | Dictionary,
    unit: int | None = None,
    *,
    vector: Float[Tensor, "w"] | None = None,
    position: int = -1,
    name: str | None = None,
) -> "VectorTarget | UnitTarget":
    """What a trace is to explain, where it is no token: a direction at a site, a neuron, or a dictionary's unit.

    Args:
        where: a site, such as `resid.12` or `mlp.neurons.12`; or a dictionary, or the name or path of one. A probe is
            a dictionary of one unit.
        unit: which coordinate of the site, or which unit of the dictionary; 0 of a dictionary of one unit.
        vector: the direction at the site, `[w]`, instead of a unit.
        position: where it is read; negative from the end.
        name: what it is called in the graph.

    Raises:
        WrongUse: neither a unit nor a vector, or both.
    """
    what = f"explain what stands at {where}"
    if isinstance(where, Dictionary) or not _is_site(where):
        dictionary = where if isinstance(where, Dictionary) else load_dictionary(where)
        if vector is not None or (unit is None and dictionary.n_units > 1):
            raise WrongUse(what, found=f"{dictionary}", do=f"name a unit, 0 to {dictionary.n_units - 1}")
        called = where if isinstance(where, str) else str(where)
        return UnitTarget(dictionary, called, unit or 0, position, name or f"{called} unit {unit or 0}")
    if (unit is None) == (vector is None):
        found = "neither a unit nor a vector" if unit is None else "a unit and a vector"
        raise WrongUse(what, found=found, do="give unit= or vector=")
    return VectorTarget(where, unit, vector, position, name or (f"{where} unit {unit}" if vector is None else where))


def _is_site(where: str) -> bool:
    return where in ("embed", "resid.final") or (where.rpartition(".")[2].isdigit() and where[0] in "arm")


class _Inside:
    """What targets inside the model have in common: one name, and nothing against it."""

    name: str

    @property
    def texts(self) -> tuple[str, ...]:
        """See `Target`."""
        return (self.name,)

    @property
    def against_texts(self) -> tuple[str, ...]:
        """See `Target`."""
        return ()

    @property
    def label(self) -> str:
        """See `Target`."""
        return self.name


@dataclass(frozen=True, eq=False)
class VectorTarget(_Inside):
    """M = vector · what stands at a site, at one position.

    Attributes:
        site: where.
        unit: the coordinate that the vector is, or None.
        vector: `[w]`, or None for the coordinate.
        position: negative from the end.
        name: what it is called.
    """

    site: str
    unit: int | None
    vector: Float[Tensor, "w"] | None
    position: int
    name: str

    @property
    def sites(self) -> tuple[str, ...]:
        """See `Target`."""
        return (self.site,)

    def fitted(self, model: Model) -> "VectorTarget":
        """This target, once it is known that the model has it.

        Raises:
            SiteNotFound: no such site or unit.
            NotSupported: a site that a graph does not pass.
            WrongUse: a vector of another width.
        """
        model.site(self.site)
        width = self._width(model)
        if self.unit is not None and not 0 <= self.unit < width:
            found = f"units 0 to {width - 1}"
            raise SiteNotFound(f"explain unit {self.unit} of {self.site}", found=found, do="name one of them")
        if self.vector is not None and self.vector.shape != (width,):
            found = f"a vector {list(self.vector.shape)}"
            raise WrongUse(f"explain a direction at {self.site}", found=found, do=f"give one of {width} numbers")
        return self

    def _width(self, model: Model) -> int:
        sizes = model.anatomy.sizes
        if self._is_neurons:
            return model.anatomy.layers[self.layer(model.n_layers)].n_units
        return sizes.h * sizes.c if place_of(self.site, model.n_layers).kind == "attn.heads" else sizes.d

    def of(self, run: Run, anatomy: Anatomy) -> Float[Tensor, "b"]:
        """See `Target.of`."""
        return self._of(run[self.site])

    def _of(self, x: Float[Tensor, "b p *w"]) -> Float[Tensor, "b"]:
        here = x[:, self.position].flatten(1)
        return here @ self._direction(here)

    def on(self, frozen: Frozen) -> float:
        """See `Target.on`."""
        x = frozen.layers[self._layer(frozen)].neurons if self._is_neurons else standing(frozen, self.site)
        return float(self._of(x[None])[0])

    def looked_at(self, n_layers: int) -> frozenset[Place]:
        """See `Target.looked_at`: heads are read before W_O, where nothing else may stop."""
        place = None if self._is_neurons else place_of(self.site, n_layers)
        return frozenset({place} if place is not None and place.kind == "attn.heads" else ())

    def read(self, cut: Cut) -> Placed:
        """See `Target.read`."""
        frozen = cut.frozen
        position = self.position % frozen.n_positions
        if self._is_neurons:
            layer = frozen.layers[self._layer(frozen)]
            g = torch.zeros_like(layer.neurons)
            g[position] = self._direction(g)
            stop = reading(Place(layer.index, "mlp.in"), parallel=frozen.parallel)
            return Placed.of(stop, _one(position, g), layer.pull_units(g)[position, None])
        place = place_of(self.site, len(frozen.layers))
        own = self._direction(standing(frozen, self.site))
        vector = onto_stream(frozen, place, own[None], _one(position, own))
        return _placed(cut, place, position, vector)

    def constant(self, cut: Cut) -> Float[Tensor, ""]:
        """See `Target.constant`."""
        frozen, position = cut.frozen, self.position % cut.frozen.n_positions
        if self._is_neurons:
            layer = frozen.layers[self._layer(frozen)]
            return layer.unit_constants[position] @ self._direction(layer.neurons)
        norm = norm_before(frozen, place_of(self.site, len(frozen.layers)))[0]
        if norm is None or norm.bias is None:
            return frozen.embed.new_zeros(())
        return norm.bias @ self._direction(norm.bias)

    def live(self, model: Model) -> Live:
        """See `Target.live`."""
        return watched({self.site}, lambda seen: self._of(seen[self.site]).sum())

    def layer(self, n_layers: int) -> int:
        """See `Target.layer`."""
        return int(self.site.rpartition(".")[2]) if self._is_neurons else place_of(self.site, n_layers).layer

    def to_dict(self) -> dict[str, Any]:
        """See `Target.to_dict`."""
        vector = None if self.vector is None else self.vector.tolist()
        return {"kind": "vector", "site": self.site, "unit": self.unit, "vector": vector, "name": self.name}

    @property
    def _is_neurons(self) -> bool:
        return self.site.startswith(f"{NEURONS}.")

    def _layer(self, frozen: Frozen) -> int:
        return self.layer(len(frozen.layers))

    def _direction(self, like: Float[Tensor, "*b w"]) -> Float[Tensor, "w"]:
        if self.vector is not None:
            return self.vector.to(like)
        assert self.unit is not None
        one = like.new_zeros(like.shape[-1])
        one[self.unit] = 1
        return one


@dataclass(frozen=True, eq=False)
class UnitTarget(_Inside):
    """M = the activation of a dictionary's unit at one position.

    Attributes:
        dictionary: whose unit.
        called: its name or path, by which a saved graph finds it again.
        unit: which.
        position: negative from the end.
        name: what it is called.
    """

    dictionary: Dictionary
    called: str
    unit: int
    position: int
    name: str

    @property
    def number(self) -> int:
        """The unit's block."""
        starts = self.dictionary.geometry.starts
        return next(i for i in range(len(starts) - 1) if starts[i] <= self.unit < starts[i + 1])

    @property
    def sites(self) -> tuple[str, ...]:
        """See `Target`."""
        geometry = self.dictionary.geometry
        return tuple(geometry.reads[one] for one in geometry.blocks[self.number].reads)

    def fitted(self, model: Model) -> "UnitTarget":
        """This target with its dictionary where the model lies, once it is known that the model has its sites.

        Raises:
            SiteNotFound: no such unit.
            NotSupported, WrongUse: see `placeable.require_places`.
        """
        if not 0 <= self.unit < self.dictionary.n_units:
            found = f"units 0 to {self.dictionary.n_units - 1}"
            raise SiteNotFound(f"explain unit {self.unit} of {self.called}", found=found, do="name one of them")
        require_places(self.dictionary, model)
        return replace(self, dictionary=as_model(self.dictionary, model))

    def of(self, run: Run, anatomy: Anatomy) -> Float[Tensor, "b"]:
        """See `Target.of`."""
        read = {site: run[site][:, self.position, None].flatten(2) for site in self.sites}
        return self.dictionary.coder.encode([self.unit], read)[:, 0, 0]

    def on(self, frozen: Frozen) -> float:
        """See `Target.on`."""
        read = {site: standing(frozen, site)[None, self.position, None] for site in self.sites}
        return float(self.dictionary.coder.encode([self.unit], read)[0, 0, 0])

    def looked_at(self, n_layers: int) -> frozenset[Place]:
        """See `Target.looked_at`."""
        return frozenset(place for site in self.sites if (place := place_of(site, n_layers)).kind == "attn.heads")

    def read(self, cut: Cut) -> Placed:
        """See `Target.read`.

        Raises:
            WrongUse: the unit is silent there, so that nothing made it active.
        """
        block, position = self._block(cut.frozen), self.position % cut.frozen.n_positions
        if not float(block.values[position, 0]):
            raise WrongUse(
                f"explain {self.name}",
                found=f"a unit that is silent at position {position}",
                do="name a position where it is active",
            )
        at_one, first = _one(position, block.values), _one(0, block.values)
        parts = [_placed(cut, place, position, block.read(place, at_one, first)) for place in block.reads]
        joined = Placed.joined(parts)
        return Placed(torch.zeros_like(joined.owners), joined.stops, joined.positions, joined.vectors, 1)

    def constant(self, cut: Cut) -> Float[Tensor, ""]:
        """See `Target.constant`."""
        block = self._block(cut.frozen)
        position = self.position % cut.frozen.n_positions
        return block.read_constant(_one(position, block.values), _one(0, block.values))[0]

    def live(self, model: Model) -> Live:
        """See `Target.live`."""

        def metric(seen: Mapping[str, Tensor]) -> Float[Tensor, ""]:
            read = {site: x[:, self.position].flatten(1) for site, x in seen.items()}
            return line_value(self.dictionary, self.number, self.unit, read).sum()

        return watched(set(self.sites), metric)

    def layer(self, n_layers: int) -> int:
        """See `Target.layer`."""
        return max(place_of(site, n_layers).layer for site in self.sites)

    def to_dict(self) -> dict[str, Any]:
        """See `Target.to_dict`."""
        return {"kind": "unit", "dictionary": self.called, "unit": self.unit, "name": self.name}

    def _block(self, frozen: Frozen) -> DictionaryBlock:
        geometry = self.dictionary.geometry
        writes = [geometry.writes[one] for one in geometry.blocks[self.number].writes]
        inputs = {site: standing(frozen, site) for site in geometry.reads}
        found = at(self.dictionary, self.number, inputs, {site: standing(frozen, site) for site in writes})
        own = torch.tensor([self.unit - geometry.starts[self.number]], device=found.ids.device)
        mine = found.ids == own
        alone = replace(found, ids=found.ids[mine], positions=found.positions[mine], values=found.values[mine])
        return DictionaryBlock(frozen, alone, self.called, own)


def watched(sites: set[str], metric: Callable[[Mapping[str, Tensor]], Float[Tensor, ""]]) -> Live:
    """A live pass whose metric is of sites: edits that change nothing look at them on the way, gradients attached."""
    seen: dict[str, Tensor] = {}

    def looking(site: str) -> Edit:
        def look(x: Tensor) -> Tensor:
            seen[site] = x
            return x

        return edits.set(site, look, may_be_empty=True)

    return Live(lambda _: metric(seen), tuple(map(looking, sorted(sites))), last_logits_only=True)


def _placed(cut: Cut, place: Place, position: int, vector: Float[Tensor, "1 w"]) -> Placed:
    """One read vector at a place.

    What a branch adds to the stream is read before it is cut where units read it there, and else as the stream after
    it less the stream before, so that units which write there are its sources.
    """
    at, parallel = _one(position, vector), cut.frozen.parallel
    if place.on_stream or place in cut.read or place.kind not in ("attn.out", "mlp.out"):
        return Placed.of(reading(place, parallel=parallel), at, vector)
    below = {"attn.out": "resid", "mlp.out": "attn.out" if parallel else "resid_mid"}[place.kind]
    stops = torch.tensor([leaving(place), leaving(Place(place.layer, below))], device=at.device)
    return Placed(torch.zeros_like(stops), stops, at.expand(2), torch.cat([vector, -vector]), 1)


def _one(position: int, like: Tensor) -> Int[Tensor, "1"]:
    return torch.tensor([position], device=like.device)
