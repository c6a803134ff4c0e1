"""The dictionary: reads → units → writes. One type for every basis."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from microtome.core.across import Across, added_up
from microtome.core.artefact import RunCard
from microtome.core.config import Config
from microtome.core.errors import SiteNotFound, WrongUse
from microtome.dictionary.architecture import Architecture
from microtome.dictionary.basis import At, at
from microtome.dictionary.codes import Codes, Picks, side_by_side
from microtome.dictionary.coding import UnitsCoder
from microtome.dictionary.geometry import Geometry
from microtome.dictionary.normalising import How, normal, turned_back
from microtome.dictionary.rows import check_rows
from microtome.dictionary.units import Units

Written = tuple[Units, Picks, Float[Tensor, "_"]]


@dataclass(frozen=True)
class Conventions(Config):
    """What a dictionary does with an input before its units read it, and what of it is never trained.

    Attributes:
        centred: take b_dec off first, where a dictionary writes what it reads.
        normalised: of each token: `layer` subtracts its mean and divides by its standard deviation (+ 10⁻⁵),
            `length` gives it the length √d; what is written is turned back. Both are remembered token by token,
            so that they cannot be folded into weights.
        skip: whether the input reaches the output by a linear map beside the units; in a dictionary of several
            blocks, each read reaches the write of the same number alone.
        fixed_writes: whether write vectors stay as they are drawn: W_dec asks for no gradient, so training leaves it.
    """

    centred: bool = True
    normalised: How = "no"
    skip: bool = False
    fixed_writes: bool = False


class Dictionary(nn.Module):
    """A set of units with read vectors and write vectors. Made by training, by a baseline, or read from a file.

    Attributes:
        geometry: which sites the units read and write.
        architecture: how they become active.
        conventions: what is done with an input first.
        blocks: the units, block by block.
        b_dec: what is written without any unit, `[w, d_out]`.
        W_skip: `[w·d_out, r·d_in]`, of several blocks `[w, d_out, d_in]` with a map for each pair of sites; or None.
        card: how it was made, or None before it is saved.
    """

    def __init__(
        self, geometry: Geometry, architecture: Architecture, conventions: Conventions | None = None,
        card: RunCard | None = None,
    ):  # fmt: skip
        super().__init__()
        conventions = conventions or Conventions(centred=geometry.autoencodes)
        if conventions.centred and not geometry.autoencodes:
            raise WrongUse(
                "make a dictionary",
                found=f"b_dec of {geometry.writes} taken off {geometry.reads}",
                do="leave inputs as they are (centred=False): these units write another site than they read",
            )
        self.geometry = geometry
        self.architecture = architecture
        self.conventions = conventions
        self.card = card
        d_in, d_out = geometry.d_in, geometry.d_out
        self.blocks = nn.ModuleList(
            Units(block, d_in, d_out, architecture.extras(block.units)) for block in geometry.blocks
        )
        for units in self.units:
            units.W_dec.requires_grad_(not conventions.fixed_writes)
        self.b_dec = nn.Parameter(torch.zeros(len(geometry.writes), d_out))
        self.W_skip = nn.Parameter(_empty_skip(geometry)) if conventions.skip else None

    def __repr__(self) -> str:
        reads, writes = _short(self.reads), _short(self.writes)
        where = f"at {reads}" if self.geometry.autoencodes else f"from {reads} to {writes}"
        return f"Dictionary({self.architecture.name} {self.geometry.kind} {where}, {self.n_units:,} units)"

    @property
    def reads(self) -> tuple[str, ...]:
        """Sites that units read."""
        return self.geometry.reads

    @property
    def writes(self) -> tuple[str, ...]:
        """Sites that units write."""
        return self.geometry.writes

    @property
    def n_units(self) -> int:
        """Units of all blocks."""
        return self.geometry.n_units

    @property
    def units(self) -> Iterator[Units]:
        """Blocks of units, in the order of their ids."""
        for block in self.blocks:
            assert isinstance(block, Units)
            yield block

    @property
    def across(self) -> Across:
        """The processes over which the units are divided."""
        return next(self.units).share.across

    @property
    def coder(self) -> UnitsCoder:
        """Its units as edits of a model see them."""
        return UnitsCoder(self)

    def encode(self, x: Float[Tensor, "*batch d"]) -> Codes:
        """Which units are active on each token, and how much.

        Args:
            x: `[…, d]`, or `[…, r, d]` where the units read several sites.

        Raises:
            WrongUse: another width or number of sites, or numbers that are not finite.
        """
        with torch.no_grad():
            flat, batch = self._flat(x)
            check_rows(f"encode with {self}", flat, batch, self.conventions.normalised)
            active = [
                self.architecture.activate(*given) for given in self.given(normal(flat, self.conventions.normalised))
            ]
            return side_by_side([(one.picks, one.values) for one in active], batch)

    def decode(self, codes: Codes, like: Float[Tensor, "*given d"] | None = None) -> Float[Tensor, "*batch e"]:
        """What these activations write, b_dec included, and nothing else.

        Args:
            codes: from `encode`, edited or not.
            like: the inputs, needed where the dictionary turns back the normalisation of each token.

        Returns:
            `[…, d]`, or `[…, w, d]` where units write several sites.

        Raises:
            WrongUse: codes of another dictionary, or no inputs where they are needed.
        """
        if codes.n_units != self.n_units:
            raise WrongUse(
                f"decode with {self}", found=f"codes of {codes.n_units:,} units", do="give codes that it encoded"
            )
        with torch.no_grad():
            y = self.written(self._of_blocks(codes))
            if self.conventions.normalised != "no":
                y = self._turned_back(y, like)
            return self._shaped(y, codes.shape)

    def skip(self, x: Float[Tensor, "*given d"]) -> Float[Tensor, "*batch e"]:
        """What reaches the output beside the units: x · W_skipᵀ, zeros where there is no such path."""
        with torch.no_grad():
            flat, batch = self._flat(x)
            through = flat.new_zeros(len(flat), len(self.writes), self.geometry.d_out)
            return self._shaped(through if self.W_skip is None else self.through(flat), batch)

    def reconstruct(self, x: Float[Tensor, "*given d"]) -> Float[Tensor, "*batch e"]:
        """What the dictionary makes of inputs: what active units write, b_dec, and the skip."""
        y = self.decode(self.encode(x), like=x)
        return y if self.W_skip is None else y + self.skip(x)

    def forward(self, x: Float[Tensor, "*given d"]) -> Float[Tensor, "*batch e"]:
        """The same as `reconstruct`."""
        return self.reconstruct(x)

    def read_vectors(self, units: Sequence[int] | Int[Tensor, "n"]) -> Float[Tensor, "n r d"]:
        """What units read at every site of their block, before the activation."""
        return self._vectors(units, "W_enc", self.geometry.d_in)

    def write_vectors(self, units: Sequence[int] | Int[Tensor, "n"]) -> Float[Tensor, "n w d"]:
        """What one unit of activation writes at every site of their block."""
        return self._vectors(units, "W_dec", self.geometry.d_out)

    def _vectors(self, units: Sequence[int] | Int[Tensor, "n"], name: str, d: int) -> Tensor:
        asked = torch.as_tensor(units, device=self.b_dec.device)
        starts = torch.tensor(self.geometry.starts, device=asked.device)
        if len(wrong := asked[(asked < 0) | (asked >= self.n_units)]):
            raise SiteNotFound(
                f"look at unit {int(wrong[0])} of {self}", found=f"units 0 to {self.n_units - 1}", do="name one of them"
            )
        block = torch.bucketize(asked, starts[1:], right=True).unique()
        if len(block) > 1:
            raise WrongUse(
                "look at units together", found=f"units of {len(block)} blocks, which read and write other sites",
                do=f"ask block by block; they begin at {self.geometry.starts[:-1]}",
            )  # fmt: skip
        which = 0 if not len(block) else int(block[0])
        vectors = list(self.units)[which].get_parameter(name)[asked - starts[which]]
        return vectors.detach().view(len(asked), -1, d)

    def at(
        self, block: int, inputs: Mapping[str, Float[Tensor, "p _"]], outputs: Mapping[str, Float[Tensor, "p _"]]
    ) -> At:
        """The units of a block that were active on a prompt, with what each read and wrote, and what none did.

        Everything that depends on the prompt (which units, the size of each token) is held as it is there, so that
        values are linear in what is read.

        Args:
            block: its number.
            inputs: by site, what stands where units read, `[p, d]`.
            outputs: by site, what stands where the block writes, `[p, e]`.

        Raises:
            SiteNotFound: there is no such block.
            NotSupported: a skip that leads between several sites.
            WrongUse: another width.
        """
        return at(self, block, inputs, outputs)

    def given(self, x: Float[Tensor, "t r d"]) -> Iterator[tuple[Units, Float[Tensor, "t rd"], Tensor | None]]:
        """What each block is given of inputs: the block, what it reads, and what is taken off it first."""
        for units in self.units:
            b_dec = units.share.across.shared(self.b_dec)
            shift = b_dec[list(units.block.reads)].flatten() if self.conventions.centred else None
            yield units, units.read(x), shift

    def written(self, parts: Sequence[Written], x: Float[Tensor, "t r d"] | None = None) -> Float[Tensor, "*t w e"]:
        """What active units of each block write together, with b_dec, and with the skip of inputs `x`."""
        y = self.b_dec + self.by_units(parts) if parts else self.b_dec
        return y if x is None or self.W_skip is None else y + self.through(x)

    def by_units(self, parts: Sequence[Written]) -> Float[Tensor, "t w e"]:
        """What active units of each block write together, in all processes, and nothing else."""
        written = [units.written(values, picks, len(self.writes)) for units, picks, values in parts]
        return added_up(self.across, written)

    def through(self, x: Float[Tensor, "t r d"]) -> Float[Tensor, "t w e"]:
        """What inputs write by the skip."""
        assert self.W_skip is not None
        if self.W_skip.ndim == 3:
            return torch.einsum("twd,wed->twe", x, self.W_skip)
        return (x.flatten(1) @ self.W_skip.T).unflatten(1, (len(self.writes), -1))

    def _of_blocks(self, codes: Codes) -> list[Written]:
        starts = self.geometry.starts
        parts = []
        for i, units in enumerate(self.units):
            if len(self.blocks) == 1:
                return [(units, codes.picks, codes.values)]
            inside = (codes.ids >= starts[i]) & (codes.ids < starts[i + 1])
            own = codes.where(inside)
            parts.append((units, Picks(own.ids - starts[i], own.offsets, units.block.units), own.values))
        return parts

    def _flat(self, x: Tensor) -> tuple[Float[Tensor, "t r d"], tuple[int, ...]]:
        n = len(self.reads)
        d = self.geometry.d_in
        site_axis = 0 if n == 1 else 1
        if x.ndim <= site_axis or x.shape[-1] != d or (site_axis and x.shape[-2] != n):
            wanted = f"[…, {d}]" if n == 1 else f"[…, {n}, {d}]"
            raise WrongUse(f"encode with {self}", found=f"a tensor {list(x.shape)}", do=f"give {wanted}")
        return x.reshape(-1, n, d).to(self.b_dec), tuple(x.shape[: x.ndim - 1 - site_axis])

    def _shaped(self, y: Float[Tensor, "t w d"], batch: tuple[int, ...]) -> Tensor:
        return y.view(*batch, *y.shape[1:]) if len(self.writes) > 1 else y.view(*batch, y.shape[2])

    def _turned_back(self, y: Float[Tensor, "t w d"], like: Tensor | None) -> Float[Tensor, "t w d"]:
        if like is None:
            raise WrongUse(
                f"decode with {self}", found="no inputs, whose size it has to give back", do="pass like=the inputs"
            )
        return turned_back(y, self._flat(like)[0], self.conventions.normalised)


def _empty_skip(geometry: Geometry) -> Tensor:
    """Zeros where the skip's weights belong. Between all sites of many layers they would not fit into memory."""
    n_reads, n_writes = len(geometry.reads), len(geometry.writes)
    if len(geometry.blocks) == 1:
        return torch.zeros(n_writes * geometry.d_out, n_reads * geometry.d_in)
    if n_reads != n_writes:
        raise WrongUse(
            "give a dictionary of several blocks a skip",
            found=f"{n_reads} sites read and {n_writes} written",
            do="pair them: each read reaches the write of the same number",
        )
    return torch.zeros(n_writes, geometry.d_out, geometry.d_in)


def _short(sites: tuple[str, ...]) -> str:
    return sites[0] if len(sites) == 1 else f"{sites[0]} … {sites[-1]}"
