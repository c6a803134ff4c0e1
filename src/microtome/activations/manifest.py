"""The manifest of a store: how it was made, which shards it has, and where harvesting goes on."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from microtome.activations.config import HarvestConfig
from microtome.activations.contexts import Cursor
from microtome.core import fingerprint
from microtome.core.artefact import read_artefact, written_whole
from microtome.core.errors import FormatError, StoreCorrupt, WrongUse

FORMAT = 1
NAME = "manifest.json"
KEYS = ("sites", "limits", "shards", "left_out", "cursor", "complete")


@dataclass(frozen=True)
class ShardRecord:
    """A shard as the manifest knows it.

    Attributes:
        name: of the file in the store's folder.
        rows: how many it holds.
        bytes: its size.
        sha256: of its bytes.
        squares: of each site the sum of ‖x‖² over its rows.
    """

    name: str
    rows: int
    bytes: int
    sha256: str
    squares: dict[str, float]


@dataclass(frozen=True)
class Manifest:
    """What a store says of itself. Shards that it does not name do not exist.

    Attributes:
        card: the run card: model, texts, settings.
        sites: their widths.
        limits: the largest norm kept at each site; empty without a norm limit.
        shards: in the order of their rows.
        left_out: how many tokens were run and not kept, by reason.
        cursor: where in the texts the next row comes from.
        complete: whether the texts have ended.
    """

    card: dict[str, Any]
    sites: dict[str, int]
    limits: dict[str, float]
    shards: tuple[ShardRecord, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    cursor: Cursor = field(default_factory=Cursor)
    complete: bool = False

    @property
    def n_tokens(self) -> int:
        """Rows of all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def config(self) -> HarvestConfig:
        """How the texts were read."""
        return HarvestConfig.from_dict(self.card["config"])

    @property
    def mean_squared_norms(self) -> dict[str, float]:
        """E‖x‖² of each site over all rows."""
        return {site: sum(shard.squares[site] for shard in self.shards) / max(1, self.n_tokens) for site in self.sites}

    @property
    def fingerprint(self) -> str:
        """Digest of every row: of the shards, in order."""
        return fingerprint.of_value([shard.sha256 for shard in self.shards])

    def save(self, folder: Path) -> None:
        """Writes it, forced to the disk, in place of the one before."""
        values = asdict(self) | {"n_tokens": self.n_tokens, "mean_squared_norms": self.mean_squared_norms}
        with settled(folder / NAME) as temporary:
            temporary.write_text(json.dumps(values, ensure_ascii=False, allow_nan=False, indent=1), encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> "Manifest":
        """Reads it.

        Raises:
            MissingFile: there is none.
            StoreCorrupt: parts of it are gone.
            FormatError: it is cut, that of another kind, or of a newer format.
        """
        found = read_artefact(folder / NAME, kind="activations", format=FORMAT, keys=KEYS)
        try:
            shards = tuple(ShardRecord(**one) for one in found["shards"])
            cursor = Cursor.from_dict(found["cursor"])
            given = {key: found[key] for key in ("sites", "limits", "left_out", "complete")}
            made = Manifest(found["card"], shards=shards, cursor=cursor, **given)
            made.config.to_dict()
        except (TypeError, KeyError, AttributeError) as error:
            raise StoreCorrupt(
                f"read the store {folder}", found=f"a manifest that is not whole ({error})", do="harvest it again"
            ) from error
        if made.card.get("kind") != "activations":
            raise FormatError(
                f"read the store {folder}", found=f"a manifest of kind {made.card.get('kind')!r}",
                do="give a folder that `harvest` wrote",
            )  # fmt: skip
        return made

    def check_same(self, other: "Manifest", folder: Path) -> None:
        """Whether another harvest would give this store's rows.

        Raises:
            WrongUse: it would not; the message says in what they differ.
        """
        mine = self._identity()
        theirs = other._identity()
        differs = [f"{key} {mine.get(key)!r} there, {theirs.get(key)!r} asked" for key in sorted(mine | theirs)
                   if mine.get(key) != theirs.get(key)]  # fmt: skip
        if differs:
            raise WrongUse(
                f"go on with the store {folder}",
                found=f"it was made otherwise: {'; '.join(differs)}",
                do="harvest with the settings of the store, or into another folder",
            )

    def _identity(self) -> dict[str, Any]:
        """What decides the rows. Names do not: one model may be opened by several."""
        model: Mapping[str, Any] = self.card["model"]
        settings = HarvestConfig.from_dict(self.card["config"]).to_dict()
        texts = {"texts": self.card["data"]["fingerprint"], "sites": list(self.sites)}
        return {"model": model["fingerprint"], "model dtype": model["dtype"], **texts, **settings}


@contextmanager
def settled(path: Path) -> Iterator[Path]:
    """`written_whole`, with the bytes on the disk before the name is: it outlives a loss of power too."""
    with written_whole(path) as temporary:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
