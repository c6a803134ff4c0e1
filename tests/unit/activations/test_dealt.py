"""A harvest by several processes keeps the rows of one: the same tokens, the same values, none twice.

Texts are of many lengths and the limit of norms leaves some tokens out, so that batches give rows of unequal number and
nobody knows how many before the model has run; shards are so small that every process fills several.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from microtome.activations import harvest as harvesting
from microtome.activations.config import HarvestConfig
from microtome.activations.harvest import harvest
from microtome.activations.store import ActivationStore, open_store
from microtome.core.errors import WrongUse
from microtome.model.opening import open as open_model
from several_ranks import on_ranks

SITES = ["resid.1", "mlp.neurons.0"]


def harvested(model: str, texts: list[str], out: str, settings: dict[str, Any]) -> int:
    """How many rows the store has that this process gets."""
    given = {"context": 24, "batch_rows": 4, "shard_bytes": 40_000, "norm_limit": 2.0, **settings}
    tokens = given.pop("tokens", None)
    opened = open_model(model, certify=False)
    return len(harvest(opened, texts, SITES, tokens=tokens, out=out, config=HarvestConfig(**given)))


def rows_of(store: ActivationStore) -> dict[tuple[int, int], list[float]]:
    """What each token holds at both sites, by document and position."""
    values = torch.cat([store.rows(site, slice(None)) for site in store.sites], 1).tolist()
    found = dict(zip(zip(store.documents.tolist(), store.positions.tolist(), strict=True), values, strict=True))
    assert len(found) == len(store), "no row stands there twice"
    return found


def same(ours: Path, theirs: Path) -> None:
    mine, other = open_store(ours), open_store(theirs)
    mine.verify()
    assert rows_of(mine) == rows_of(other)
    for name in ("left_out", "complete", "limits", "sites", "cursor"):
        assert vars(mine.manifest)[name] == vars(other.manifest)[name], name
    assert mine.mean_squared_norms == pytest.approx(other.mean_squared_norms)
    for site in SITES:
        assert torch.allclose(mine.means[site], other.means[site], atol=1e-6)


@pytest.fixture(scope="module")
def one(folder, tmp_path_factory):
    """`one(settings)`: the store of a single process."""
    from made_texts import made_texts

    made: dict[str, Path] = {}

    def harvest_alone(settings: dict[str, Any]) -> Path:
        key = repr(settings)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("one") / "store"
            harvested(str(folder), list(made_texts()), str(made[key]), settings)
        return made[key]

    return harvest_alone


@pytest.mark.parametrize(
    "ranks, settings",
    [(2, {}), (3, {"tokens": 333}), (2, {"pack": True, "norm_limit": None, "shard_bytes": 1 << 20})],
    ids=str,
)
def test_several_processes_keep_what_one_keeps(ranks, settings, folder, texts, one, tmp_path):
    out = tmp_path / "store"
    told = on_ranks(ranks, tmp_path, harvested, str(folder), list(texts), str(out), settings)
    assert told == [len(open_store(out))] * ranks
    same(out, one(settings))
    assert len(open_store(out).shards) >= ranks
    left = {path.name for path in out.iterdir()}
    assert left == {"manifest.json", *(shard.record.name for shard in open_store(out).shards)}


class Killed(Exception):
    """Ends a process in place of a signal."""


def dying(model: str, texts: list[str], out: str, settings: dict[str, Any], at: int) -> bool:
    """Whether this process ended early: none of them writes its shard of that number."""
    real, left = harvesting.Draft.write, [at]

    def write(self, folder, number):
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return real(self, folder, number)

    harvesting.Draft.write = write
    try:
        harvested(model, texts, out, settings)
    except Killed:
        return True
    return False


@pytest.mark.parametrize("then", [1, 3])
def test_a_harvest_that_was_killed_is_gone_on_with_by_any_number(then, folder, texts, one, tmp_path):
    """All die while they write their second shards: the first are named, the second are not there."""
    out, given = tmp_path / "store", (str(folder), list(texts))
    assert on_ranks(2, tmp_path, dying, *given, str(out), {}, 2) == [True, True]
    begun = open_store(out)
    assert 0 < len(begun) < len(open_store(one({})))
    (out / "shard-00099.safetensors").write_bytes(b"written, and never named")
    if then == 1:
        harvested(*given, str(out), {})
    else:
        on_ranks(then, tmp_path, harvested, *given, str(out), {})
    same(out, one({}))
    assert open_store(out).manifest.shards[: len(begun.shards)] == begun.manifest.shards
    assert len(list(out.glob("shard-*"))) == len(open_store(out).shards)


def test_more_tokens_are_added_by_others(folder, texts, one, tmp_path):
    out = tmp_path / "store"
    given = (str(folder), list(texts), str(out))
    on_ranks(2, tmp_path, harvested, *given, {"tokens": 100})
    assert len(open_store(out)) == 100
    harvested(*given, {"tokens": 200})
    on_ranks(2, tmp_path, harvested, *given, {"tokens": 333})
    same(out, one({"tokens": 333}))


def test_another_store_is_refused_by_all(folder, texts, one, tmp_path):
    assert on_ranks(2, tmp_path, refused, str(folder), list(texts), str(one({}))) == [True, True]


def refused(model: str, texts: list[str], out: str) -> bool:
    with pytest.raises(WrongUse, match="context 24 there, 32 asked"):
        harvested(model, texts, out, {"context": 32})
    return True
