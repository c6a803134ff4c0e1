"""Training in several processes gives what one gives: the same choice, the same parameters, the same loss.

Every run here is a whole one, from `train` to the dictionary on the disk. They are so small that units die at once and
are revived, and begin anew halfway: whatever depends on how many processes there are would show.
"""

import os
import signal
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from microtome.cluster.mesh import joined
from microtome.core.artefact import read_json, write_json
from microtome.core.errors import FormatError, WrongUse
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.saving import load
from microtome.dictionary.starting import untrained
from microtome.train import checkpoint, log
from microtome.train.config import RunConfig
from microtome.train.doctor.doctor import TrainingWarning
from microtome.train.job import job
from microtome.train.resharding import FOLDER
from microtome.train.schedule import Schedule
from microtome.train.sharding import Together
from microtome.train.trainee import Trainee
from microtome.train.training import train, train_many
from planted_source import Planted
from several_ranks import on_ranks

D, UNITS, BATCH, STEPS = 16, 66, 32, 20
SITES = {
    "sae": {"site": "mlp.in.0"},
    "skip": {"reads": "mlp.in.0", "writes": "mlp.out.0", "skip": True},
    "clt": {"reads": ("mlp.in.0", "mlp.out.0"), "writes": ("mlp.out.0", "mlp.in.0"), "kind": "clt"},
}
BY_CHOICE = {"k": 2, "aux_k": 4}
OF_ARCHITECTURE = {
    "topk": BY_CHOICE, "batchtopk": BY_CHOICE, "matryoshka": {**BY_CHOICE, "levels": (0.1, 0.6, 1.0)},
    "linear": {"k": 5}, "jumprelu": {"threshold": 0.3, "window": 0.4},
}  # fmt: skip
QUIET = dict.fromkeys(("dead_units", "dense_units", "shrinkage", "too_good"), "off")
RUN: dict[str, Any] = {
    "batch": BATCH, "lr": 1e-3, "dead_after": "96 tokens", "length": 0.5, "log_every": f"{BATCH} tokens",
    "checkpoint_every": "100%", "doctor": QUIET,
}  # fmt: skip


class Told(Planted):
    """Sends this process a signal in the middle of a step, where one was ordered."""

    order: tuple[int, int] = (-1, 0)
    asked = -1

    def batch(self, size: int, sites: Sequence[str]) -> dict[str, torch.Tensor]:
        self.asked += 1
        if self.asked == self.order[0]:
            os.kill(os.getpid(), self.order[1])
        return super().batch(size, sites)


def source() -> Told:
    return Told(d=D, features=48, sites=("mlp.in.0", "mlp.out.0"))


def trained(folder: str, geometry: str, architecture: str, settings: dict[str, Any]) -> Dictionary:
    own = {"tokens": STEPS * BATCH, **RUN, **SITES[geometry], **OF_ARCHITECTURE.get(architecture, {}), **settings}
    return train(source(), architecture=architecture, units=UNITS, out=folder, **own)


def on_one_rank(folder: str, geometry: str, architecture: str, settings: dict[str, Any]) -> bool:
    """Whether what is returned here is what lies on the disk."""
    made = trained(folder, geometry, architecture, settings)
    return all(torch.equal(load(folder).state_dict()[name], own) for name, own in made.state_dict().items())


def same(ours: Path, theirs: Path, tolerance: float = 1e-5) -> None:
    """The same parameters, and the same figures at every step."""
    for (name, mine), other in zip(load(ours).state_dict().items(), load(theirs).state_dict().values(), strict=True):
        assert mine.shape == other.shape, name
        assert (mine - other).abs().max() <= tolerance * max(1.0, float(other.abs().max())), name
    for mine, other in zip(log.read(ours), log.read(theirs), strict=True):
        assert mine.keys() == other.keys()
        assert mine["job"] == other["job"]
        assert figures(mine, EXACT) == pytest.approx(figures(other, EXACT), rel=1e-9)
        near = 1e-5 if mine["tokens"] <= STEPS * BATCH else 1e-4
        assert figures(mine, ("loss",)) == pytest.approx(figures(other, ("loss",)), rel=near)
        assert near_ones(mine) == pytest.approx(near_ones(other), rel=1e-4, abs=1e-5)
        assert mine.get("terms", {}) == pytest.approx(other.get("terms", {}), rel=1e-4, abs=1e-5)


EXACT = ("tokens", "l0", "dead", "dense", "densest", "rate", "skipped", "bad_inputs")
NEAR = ("variance_explained", "scale", "norm", "worst", "gradient")


def near_ones(line: dict[str, Any]) -> dict[str, float]:
    """Those that rounding touches. A reconstruction of next to nothing has a huge scale; its inverse is bounded."""
    return {name: 1 / value if name == "scale" else value for name, value in figures(line, NEAR).items()}


def figures(line: dict[str, Any], names: Sequence[str]) -> dict[str, float]:
    """Those of the figures that a line has; where every step was skipped, it has none."""
    return {name: line[name] for name in names if line.get(name) is not None}


ANEW = {"resample_at": ("50%",)}
CASES = [
    (2, 2, "sae", "topk", {}), (4, 4, "sae", "topk", ANEW), (4, 2, "sae", "topk", ANEW),
    (4, 2, "sae", "batchtopk", ANEW), (4, 4, "sae", "batchtopk", {}), (2, 2, "sae", "matryoshka", {}),
    (4, 2, "clt", "topk", ANEW), (2, 2, "sae", "gated", ANEW), (4, 2, "sae", "jumprelu", {}),
    (2, 2, "sae", "linear", {}), (2, 1, "skip", "topk", {"decoder": "unit", "centre": "median"}),
]  # fmt: skip


@pytest.mark.parametrize("ranks, columns, geometry, architecture, settings", CASES)
def test_many_processes_learn_what_one_learns(ranks, columns, geometry, architecture, settings, tmp_path):
    one, many = tmp_path / "one", tmp_path / "many"
    made = trained(str(one), geometry, architecture, settings)
    told = on_ranks(ranks, tmp_path, on_one_rank, str(many), geometry, architecture, {**settings, "columns": columns})
    assert all(told)
    same(many, one)
    chosen = BY_CHOICE.items() <= OF_ARCHITECTURE.get(architecture, {}).items()
    assert any("aux" in line["terms"] for line in log.read(one)) == chosen, "some units die, and are revived"
    assert {path.name for path in many.iterdir()} == {path.name for path in one.iterdir()}
    start = untrained(made.geometry, made.architecture, made.conventions, seed=0)
    assert (made.b_dec - start.b_dec).abs().max() > 0.01


def test_the_loss_stays_equal_beyond(tmp_path):
    """Rounding may part single weights in the end; what is learned stays the same."""
    longer = {"tokens": 5 * STEPS * BATCH}
    trained(str(tmp_path / "one"), "sae", "batchtopk", longer)
    on_ranks(4, tmp_path, on_one_rank, str(tmp_path / "many"), "sae", "batchtopk", {**longer, "columns": 2})
    one, many = ([line["loss"] for line in log.read(tmp_path / name)] for name in ("one", "many"))
    assert many == pytest.approx(one, rel=1e-3)
    assert sum(one[-STEPS:]) < 0.9 * sum(one[:STEPS])


def stopped(folder: str, step: int, number: int, rank: int, columns: int) -> int:
    """Trains until one of the processes is told to stop in the middle of a step; how this one left."""
    given = source()
    if int(os.environ.get("LOCAL_RANK", "0")) == rank:
        given.order = (step, number)
    own = {**RUN, **SITES["sae"], **OF_ARCHITECTURE["batchtopk"], **ANEW, "tokens": STEPS * BATCH, "units": UNITS}
    try:
        train(given, architecture="batchtopk", out=folder, columns=columns, **own)
    except SystemExit as left:
        return int(str(left.code))
    except KeyboardInterrupt:
        return -signal.SIGINT
    return 0


AT = 7


@pytest.mark.parametrize("first, then", [(4, 2), (2, 2), (2, 1), (1, 4)], ids="{}".format)
def test_a_run_that_was_told_to_stop_is_gone_on_with_by_any_number(first, then, tmp_path):
    """The last of them is told; all stop after the same step. Then others go on, in another division."""
    trained(str(tmp_path / "one"), "sae", "batchtopk", ANEW)
    order = (str(tmp_path / "many"), AT, signal.SIGTERM, first - 1, first)
    left = [stopped(*order)] if first == 1 else on_ranks(first, tmp_path, stopped, *order)
    assert left == [143] * first
    assert (tmp_path / "many" / checkpoint.FILE).exists() == (first == 1)
    files = [path.name for path in (tmp_path / "many").glob(f"{FOLDER}/*.safetensors")]
    assert sorted(files) == [f"step-{AT:09}.{rank}-of-{first}.safetensors" for rank in range(first) if first > 1]
    more = {**ANEW, "resume": True, "columns": max(then // 2, 1)}
    if then == 1:
        trained(str(tmp_path / "many"), "sae", "batchtopk", more)
    else:
        on_ranks(then, tmp_path, on_one_rank, str(tmp_path / "many"), "sae", "batchtopk", more)
    same(tmp_path / "many", tmp_path / "one")
    assert {path.name for path in (tmp_path / "many").iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}


def test_all_leave_as_the_one_that_heard_ctrl_c(tmp_path):
    assert on_ranks(2, tmp_path, stopped, str(tmp_path / "many"), 3, signal.SIGINT, 0, 2) == [-signal.SIGINT] * 2


def test_several_dictionaries_from_one_pass(tmp_path):
    assert on_ranks(2, tmp_path, two, str(tmp_path / "many")) == [two(str(tmp_path / "one"))] * 2
    for name in ("first", "second"):
        ours, theirs = (load(tmp_path / many / name).state_dict() for many in ("many", "one"))
        assert all((ours[key] - theirs[key]).abs().max() < 1e-5 for key in ours)


def two(folder: str) -> list[int]:
    jobs = [
        job("mlp.in.0", "topk", UNITS, k=2, aux_k=4, name="first"),
        job("mlp.out.0", "jumprelu", 33, threshold=0.3, name="second"),
    ]
    run = {"tokens": 10 * BATCH, "batch": BATCH, "doctor": QUIET}
    return [one.n_units for one in train_many(source(), jobs, out=folder, **run)]


def test_the_doctor_decides_alike_everywhere_and_is_heard_once(tmp_path):
    """Dead units are repaired, and a batch that is not finite, in one part of it alone, is left out by all."""
    settings = {"doctor": {**QUIET, "dead_units": "repair", "not_finite": "repair"}, "dead_after": "64 tokens"}
    found = on_ranks(4, tmp_path, repaired, str(tmp_path / "many"), {**settings, "columns": 2})
    one = repaired(str(tmp_path / "one"), settings)
    assert [warned for _, warned in found] == [one[1], 0, 0, 0]
    assert {told for told, _ in found} == {one[0]}
    assert "dead units begin anew" in one[0]
    assert "1 steps were left out" in one[0]
    same(tmp_path / "many", tmp_path / "one")


class Broken(Told):
    """One row of the third batch is not finite; the first batch is drawn when it is made."""

    def batch(self, size: int, sites: Sequence[str]) -> dict[str, torch.Tensor]:
        found = super().batch(size, sites)
        if self.asked == 3:
            found["mlp.in.0"][-1] = torch.inf
        return found


def repaired(folder: str, settings: dict[str, Any]) -> tuple[str, int]:
    given = Broken(d=D, features=48, sites=("mlp.in.0", "mlp.out.0"))
    own = {**RUN, **SITES["sae"], **OF_ARCHITECTURE["topk"], "tokens": 2 * STEPS * BATCH, "units": UNITS, **settings}
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", TrainingWarning)
        made = train(given, out=folder, **own)
    assert made.card is not None
    told = " ".join(report["done"] for report in made.card.config["doctor"])
    return told, len([one for one in heard if issubclass(one.category, TrainingWarning)])


def held(columns: int) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Shapes of what this process holds while it trains: read vectors, and what the optimiser keeps beside them."""
    with joined(columns) as mesh:
        one = job("mlp.in.0", "topk", UNITS, k=2)
        run = RunConfig.from_dict({"tokens": BATCH, "batch": BATCH})
        trainee = Trainee(one, Schedule(one.training, run), source(), torch.device("cpu"), Together(mesh))
        whole = untrained(one.geometry(source().widths), one.architecture, one.conventions, seed=0)
        (own,), (share,) = trainee.dictionary.units, trainee.shares
        assert torch.equal(own.W_dec, next(whole.units).W_dec[share.first : share.first + share.units])
        trainee.learn(source().batch(BATCH, one.sites), 0)
        kept = trainee.optimiser.state[own.W_enc]["exp_avg"]
        return tuple(own.W_enc.shape), tuple(kept.shape), len(trainee.since)


def test_each_process_holds_its_share_alone(tmp_path):
    sizes = [(16, D), (17, D), (16, D), (17, D)]
    assert on_ranks(4, tmp_path, held, 4) == [(size, size, size[0]) for size in sizes]


def test_units_and_batches_that_cannot_be_divided_are_refused(tmp_path):
    with pytest.raises(WrongUse, match="1 is no multiple of 2"):
        trained(str(tmp_path / "one"), "sae", "topk", {"columns": 2})
    assert on_ranks(2, tmp_path, refused, {"columns": 1, "batch": 33}) == ["divide a batch over 2 processes"] * 2
    assert on_ranks(2, tmp_path, refused, {"units": 1, "k": 1}) == ["divide the units of block 0 over 2 processes"] * 2
    assert on_ranks(2, tmp_path, refused, {"columns": 3}) == ["divide 2 processes into 3 columns"] * 2


def refused(settings: dict[str, Any]) -> str:
    with pytest.raises(WrongUse) as found:
        train(source(), site="mlp.in.0", **{"tokens": 4 * BATCH, "batch": BATCH, "units": UNITS, "k": 2, **settings})
    return found.value.what


def left_behind(folder: Path, tmp_path: Path) -> Path:
    """The checkpoint of a run of two that was stopped."""
    assert on_ranks(2, tmp_path, stopped, str(folder), AT, signal.SIGTERM, 1, 2) == [143, 143]
    return folder / FOLDER


def test_a_checkpoint_that_was_cut_is_refused(tmp_path):
    kept = left_behind(tmp_path / "many", tmp_path)
    file = kept / f"step-{AT:09}.1-of-2.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    again = {**ANEW, "resume": True}
    with pytest.raises(FormatError, match="bytes instead of"):
        trained(str(tmp_path / "many"), "sae", "batchtopk", again)
    file.unlink()
    with pytest.raises(FormatError, match="no file 'step-"):
        trained(str(tmp_path / "many"), "sae", "batchtopk", again)
    file.write_bytes(content)
    manifest = read_json(kept / "checkpoint.json", kind="checkpoint")
    write_json(kept / "checkpoint.json", {**manifest, "values": {"state": "{"}})
    with pytest.raises(FormatError, match="no state that can be read"):
        trained(str(tmp_path / "many"), "sae", "batchtopk", again)


def test_another_run_is_not_gone_on_with(tmp_path):
    left_behind(tmp_path / "many", tmp_path)
    with pytest.raises(WrongUse, match=r"jobs\[0\]\.units was 66, now 70"):
        train(source(), site="mlp.in.0", architecture="batchtopk", units=70, out=tmp_path / "many", resume=True,
              tokens=STEPS * BATCH, **RUN, **OF_ARCHITECTURE["batchtopk"], **ANEW)  # fmt: skip


def test_the_newer_of_two_checkpoints_counts(tmp_path):
    """A run that was killed between writing one kind and removing the other leaves both."""
    one, many = tmp_path / "one", tmp_path / "many"
    trained(str(one), "sae", "batchtopk", ANEW)
    assert stopped(str(many), 2, signal.SIGTERM, 0, 1) == 143
    early = (many / checkpoint.FILE).read_bytes()
    (many / checkpoint.FILE).unlink()
    (many / log.FILE).unlink()
    left_behind(many, tmp_path)
    (many / checkpoint.FILE).write_bytes(early)
    trained(str(many), "sae", "batchtopk", {**ANEW, "resume": True})
    same(many, one)
