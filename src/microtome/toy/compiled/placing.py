"""Where the parts of a program stand in its network: slots among idle and decoy ones, and rows of the stream.

A decoy reads what the program holds and writes where nobody reads, so that it changes with the input and can change
no answer; an idle part writes nothing at all.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.toy.compiled.parts import Direction, Head, Parts, Unit

Part = TypeVar("Part", Head, Unit)
HOLDING = 3  # rows of the stream that hold the norms still, before those of the program


@dataclass(frozen=True)
class CompileConfig(Config):
    """How large a network is made around a program.

    Attributes:
        heads: in a layer, at least; there is always one more than any layer needs.
        slack: units in a layer beside those of the layer that needs most, as a share of these, and at least 8.
        layers: added after those that the program needs.
        spare: rows of the stream for decoys to write to.
        decoys: share of the unneeded heads and units that are decoys; the others are idle.
        ballast: ±ballast stands in two rows of the stream at every position. Next to it all else is small, so
            that every norm divides by nearly the same number. Larger is better in float64; in float32 it costs
            digits of the mean, and this is the balance.
        seed: of places and decoys.

    Raises:
        WrongUse: a number is out of its range.
    """

    heads: int = 4
    slack: float = 0.5
    layers: int = 1
    spare: int = 8
    decoys: float = 0.5
    ballast: float = 2048.0
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"heads": 1, "slack": 0, "layers": 0, "spare": 1, "decoys": 0, "ballast": 64}
        bad = [f"{name}={self.to_dict()[name]:g}" for name, bound in least.items() if self.to_dict()[name] < bound]
        if self.decoys > 1:
            bad.append(f"decoys={self.decoys:g}")
        if bad:
            raise WrongUse(
                "compile a program", found=", ".join(bad),
                do="give one head, a spare row and a ballast of 64 at least, decoys in [0, 1], and nothing below zero",
            )  # fmt: skip


@dataclass(frozen=True)
class Placed:
    """The parts of a program in their places.

    Attributes:
        parts: the program's.
        config: how much is around them.
        heads, units: by name, `head.L.H` and `unit.L.U`.
        decoys: names of heads and units that are decoys.
        layers, heads_per_layer, units_per_layer, width, head_width: of the network.
    """

    parts: Parts
    config: CompileConfig
    heads: Mapping[str, Head]
    units: Mapping[str, Unit]
    decoys: tuple[str, ...]
    layers: int
    heads_per_layer: int
    units_per_layer: int
    head_width: int

    @property
    def width(self) -> int:
        """Of the stream."""
        return self.heads_per_layer * self.head_width

    @property
    def rows(self) -> dict[Direction, int]:
        """The row of the stream in which each direction stands."""
        return {where: HOLDING + place for place, where in enumerate(self.parts.directions)}

    @property
    def spare(self) -> range:
        """The rows that decoys write to and nobody of the program reads."""
        return range(HOLDING + len(self.parts.directions), self.width)


def placed(parts: Parts, config: CompileConfig) -> Placed:
    """Gives every part a slot, drawn by the seed, and the network its size."""
    random = Random(config.seed)
    layers = max(parts.layers + config.layers, 1)
    heads_per_layer = max(config.heads, 1 + _most(parts.heads))
    most = _most(parts.units)
    units_per_layer = most + max(8, math.ceil(config.slack * most))
    wanted = HOLDING + len(parts.directions) + config.spare
    head_width = max([-(-wanted // heads_per_layer), *(head.channels for head in parts.heads)])
    heads = _slotted("head", parts.heads, layers, heads_per_layer, random)
    units = _slotted("unit", parts.units, layers, units_per_layer, random)
    decoys = (
        *_drawn("head", heads, layers, heads_per_layer, config.decoys, random),
        *_drawn("unit", units, layers, units_per_layer, config.decoys, random),
    )
    return Placed(parts, config, heads, units, decoys, layers, heads_per_layer, units_per_layer, head_width)


def _most(parts: Sequence[Head] | Sequence[Unit]) -> int:
    return max(Counter(part.layer for part in parts).values(), default=0)


def _slotted(kind: str, parts: Sequence[Part], layers: int, slots: int, random: Random) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for layer in range(layers):
        here = [part for part in parts if part.layer == layer]
        for part, slot in zip(here, sorted(random.sample(range(slots), len(here))), strict=True):
            found[f"{kind}.{layer}.{slot}"] = part
    return found


def _drawn(
    kind: str, taken: Mapping[str, object], layers: int, slots: int, share: float, random: Random
) -> tuple[str, ...]:
    """Some of the free slots of each layer: the share of them, rounded up."""
    found: list[str] = []
    for layer in range(layers):
        free = [name for name in (f"{kind}.{layer}.{slot}" for slot in range(slots)) if name not in taken]
        found += sorted(random.sample(free, math.ceil(share * len(free))), key=free.index)
    return tuple(found)
