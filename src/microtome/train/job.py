"""Jobs: what is to be trained, where, and how. A pass over the data does one or many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from microtome.core.checking import check_kind, check_range
from microtome.core.config import Config
from microtome.core.errors import SiteNotFound, WrongUse, nearest
from microtome.dictionary.architecture import ARCHITECTURES, Architecture
from microtome.dictionary.dictionary import Conventions
from microtome.dictionary.geometry import Geometry, cross_layer, crosscoder, sae, transcoder
from microtome.train.config import WHAT, TrainConfig
from microtome.train.settings import split

Kind = Literal["sae", "transcoder", "crosscoder", "clt"]


@dataclass(frozen=True)
class Job(Config):
    """One dictionary to be trained; `job` makes one from plain settings.

    Attributes:
        reads, writes: sites.
        kind: `sae`, `transcoder`, `crosscoder` or `clt`.
        units: how many; of a CLT, of each layer.
        architecture: how they become active, and what their training minimises.
        training: how they are trained.
        skip: whether a linear map runs beside the units.
        seed: of the start, and of everything drawn on the way.
        name: by which logs and folders call it.
        fixed_writes: whether write vectors stay as they are drawn: the baseline `frozen-decoder`.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    kind: Kind
    units: int
    architecture: Architecture
    training: TrainConfig = field(default_factory=TrainConfig)
    skip: bool = False
    seed: int = 0
    name: str = ""
    fixed_writes: bool = False

    def __post_init__(self) -> None:
        for name, value, least in (("units", self.units, 1), ("seed", self.seed, 0)):
            check_kind(WHAT, name, value, int)
            check_range(WHAT, name, value, least=least)
        self.architecture.check(self.units)

    @property
    def sites(self) -> tuple[str, ...]:
        """Every site of which it needs rows."""
        return tuple(dict.fromkeys((*self.reads, *self.writes)))

    def geometry(self, widths: Mapping[str, int]) -> Geometry:
        """Where the units stand, at sites of these widths.

        Raises:
            SiteNotFound: the source lacks a site.
            WrongUse: sites that are read, or written, together are not of one width.
        """
        for site in self.sites:
            if site not in widths:
                raise SiteNotFound(
                    f"train at {site!r}", found=nearest(site, widths), do="name a site that the source has"
                )
        d_in, d_out = (self._width(sites, widths) for sites in (self.reads, self.writes))
        match self.kind:
            case "sae":
                return sae(self.reads[0], d_in, self.units)
            case "transcoder":
                return transcoder(self.reads[0], self.writes[0], d_in, d_out, self.units)
            case "crosscoder":
                return crosscoder(self.reads, d_in, self.units)
            case "clt":
                return cross_layer(self.reads, self.writes, d_in, d_out, self.units)

    @property
    def conventions(self) -> Conventions:
        """What the dictionary does with inputs first."""
        return Conventions(centred=self.reads == self.writes, skip=self.skip, fixed_writes=self.fixed_writes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return super().to_dict() | {"architecture": {"name": self.architecture.name, **self.architecture.to_dict()}}

    @staticmethod
    def _width(sites: tuple[str, ...], widths: Mapping[str, int]) -> int:
        found = {site: widths[site] for site in sites}
        if len(set(found.values())) > 1:
            raise WrongUse("train at several sites", found=f"widths {found}", do="choose sites of one width")
        return widths[sites[0]]


def job(
    site: str | Sequence[str] | None = None, architecture: str = "topk", units: int = 8192, seed: int = 0,
    **settings: Any,
) -> Job:  # fmt: skip
    """What to train, from plain settings.

    Args:
        site: of an SAE; several, of a crosscoder.
        architecture: see `microtome list architecture`.
        units: how many; of a CLT, of each layer.
        seed: of the start, and of everything drawn on the way.
        settings: the architecture's (`k`), of training (`lr`: see `TrainConfig`), and in place of `site`, `reads` and
            `writes` of a transcoder, or several of each and `kind="clt"`; `skip`; `name`; `fixed_writes`.

    Raises:
        UnknownName: a setting or an architecture that does not exist; the message names the nearest.
        WrongUse: sites that make no dictionary.
    """
    chosen = ARCHITECTURES.get(architecture)
    parts = split(settings, {"place": PLACE, "architecture": chosen, "training": TrainConfig})
    reads, writes, kind = _place(site, **{k: parts["place"].get(k) for k in ("reads", "writes", "kind")})
    name = parts["place"].get("name") or f"{architecture} {kind} {_said(reads, writes)} {units} units"
    return Job(
        reads, writes, kind, units, chosen.from_dict(parts["architecture"]),
        TrainConfig.from_dict(parts["training"]), bool(parts["place"].get("skip")), seed, name,
        bool(parts["place"].get("fixed_writes")),
    )  # fmt: skip


PLACE = ("reads", "writes", "kind", "skip", "name", "fixed_writes")


def _place(
    site: str | Sequence[str] | None, reads: str | Sequence[str] | None, writes: str | Sequence[str] | None,
    kind: str | None,
) -> tuple[tuple[str, ...], tuple[str, ...], Kind]:  # fmt: skip
    at, r, w = _sites(site), _sites(reads), _sites(writes)
    given = f"site={site!r}, reads={reads!r}, writes={writes!r}, kind={kind!r}"
    if at and not (r or w) and kind in (None, "sae" if len(at) == 1 else "crosscoder"):
        return at, at, "sae" if len(at) == 1 else "crosscoder"
    if r and w and not at:
        if kind == "clt" and len(r) == len(w):
            return r, w, "clt"
        if len(r) == len(w) == 1 and kind in (None, "transcoder"):
            return r, w, "transcoder"
    raise WrongUse(
        "train a dictionary", found=given,
        do="give site= (several make a crosscoder), or reads= and writes= of one site each for a transcoder, or as "
        "many of each and kind='clt'",
    )  # fmt: skip


def _sites(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)


def _said(reads: tuple[str, ...], writes: tuple[str, ...]) -> str:
    ends = [sites[0] if len(sites) == 1 else f"{sites[0]}-{sites[-1]}" for sites in (reads, writes)]
    return ends[0] if reads == writes else " to ".join(ends)
