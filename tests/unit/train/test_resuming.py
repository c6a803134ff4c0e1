"""A run that was killed anywhere, with SIGKILL or by Ctrl-C, ends bit for bit as one that was not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import RUN, SITES, source, two_jobs, weights

from microtome.core.errors import FormatError, MissingFile, WrongUse
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.geometry import sae
from microtome.dictionary.saving import save
from microtome.dictionary.starting import untrained
from microtome.train import checkpoint, log
from microtome.train.job import job
from microtome.train.training import train, train_many
from planted_source import Planted

HERE = Path(__file__).parent
POINTS = ("batch 0", "batch 4", "batch 17", "writing a checkpoint", "writing dictionaries", "ctrl-c", "terminated")
SHORT = {**RUN, "tokens": 1024}
LEFT = {"ctrl-c": -signal.SIGINT, "terminated": 143}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "whole"
    train_many(source(), two_jobs(), out=folder, **RUN)
    return folder


def killed(folder: Path, point: str) -> subprocess.CompletedProcess[str]:
    paths = [str(HERE), str(HERE.parents[1]), *sys.path]
    told = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "killed.py"), str(folder), point]
    return subprocess.run(command, env=told, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_ends_as_if_it_had_not_been(point, uninterrupted, tmp_path):
    done = killed(tmp_path / "run", point)
    assert done.returncode == LEFT.get(point, -signal.SIGKILL), done.stderr
    if point in LEFT:
        assert (tmp_path / "run" / checkpoint.FILE).exists()
        assert checkpoint.read(tmp_path / "run")["step"] == 9
        assert ("resumed, it goes on from there" in done.stderr) == (point == "ctrl-c")
    train_many(source(), two_jobs(), out=tmp_path / "run", resume=True, **RUN)
    ours, theirs = weights(uninterrupted), weights(tmp_path / "run")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert figures(uninterrupted) == figures(tmp_path / "run")
    left = {path.name for path in (tmp_path / "run").iterdir() if not path.name.endswith(".part")}
    assert left == {"one", "two", log.FILE}


def figures(folder: Path) -> list[dict]:
    """The log but for how quick it was."""
    return [{k: v for k, v in line.items() if k != "tokens_per_second"} for line in log.read(folder)]


def test_the_runs_that_are_killed_do_something(uninterrupted):
    lines = figures(uninterrupted)
    assert {line["job"] for line in lines} == {"one", "two"}
    assert max(line["dead"] for line in lines if line["job"] == "one") > 0
    assert all(torch.isfinite(weight).all() for weight in weights(uninterrupted).values())


def test_a_run_that_ended_is_read_and_not_run_again(uninterrupted):
    before = (uninterrupted / "one" / "dictionary.safetensors").stat().st_mtime_ns
    made = train_many(source(), two_jobs(), out=uninterrupted, resume=True, **RUN)
    assert [one.architecture.name for one in made] == ["batchtopk", "jumprelu"]
    assert (uninterrupted / "one" / "dictionary.safetensors").stat().st_mtime_ns == before


def test_another_run_is_not_overwritten(uninterrupted):
    with pytest.raises(WrongUse, match="resume=True, or another folder"):
        train_many(source(), two_jobs(), out=uninterrupted, **RUN)


def stopped(folder: Path, **settings) -> None:
    """A run of which only the first checkpoint is left."""
    saved = iter(range(100))

    def once(where, state, write=checkpoint.write):
        if next(saved) == 0:
            write(where, state)
        else:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "write", once)
        with pytest.raises(KeyboardInterrupt):
            train(source(), site="mlp.in.0", units=16, k=2, out=folder, **{**RUN, **settings})


def test_going_on_with_other_settings_names_them(tmp_path):
    stopped(tmp_path)
    with pytest.raises(WrongUse, match=r"jobs\[0\]\.training\.lr was None, now 0\.1"):
        train(source(), site="mlp.in.0", units=16, k=2, lr=0.1, out=tmp_path, resume=True, **RUN)


@pytest.mark.parametrize(
    "settings, found",
    [
        ({"k": 3}, "jobs[0].architecture.k was 2, now 3"),
        ({"units": 32}, "jobs[0].units was 16, now 32"),
        ({"lr": 0.1}, "jobs[0].training.lr was None, now 0.1"),
        ({"tokens": 512}, "config.tokens was 1024, now 512"),
        ({"batch": 128}, "config.batch was 256, now 128"),
        ({"site": "mlp.out.0"}, "jobs[0].reads[0] was 'mlp.in.0', now 'mlp.out.0'"),
    ],
)
def test_a_run_that_ended_is_not_given_for_another(settings, found, ended):
    asked = {"site": "mlp.in.0", "units": 16, "k": 2, "name": "small", **SHORT, **settings}
    with pytest.raises(WrongUse) as said:
        train(source(), out=ended, resume=True, **asked)
    assert said.value.what == "go on with a run that was begun otherwise"
    assert found in said.value.found
    assert said.value.do == "give the settings and data that it was begun with, or train anew in another folder"


def test_a_run_that_ended_on_other_data_is_not_given_for_this(ended):
    other = Planted(d=12, features=48, sites=SITES)
    with pytest.raises(WrongUse, match=r"data\.planted\.features was 24, now 48"):
        train(other, site="mlp.in.0", units=16, k=2, name="small", out=ended, resume=True, **SHORT)


def test_a_dictionary_that_no_run_left_is_no_run(tmp_path):
    save(untrained(sae("mlp.in.0", 12, 16), TopK(k=2), seed=0), tmp_path)
    with pytest.raises(WrongUse, match="a dictionary that no training run left there"):
        train(source(), site="mlp.in.0", units=16, k=2, out=tmp_path, resume=True, **SHORT)


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ended")
    train(source(), site="mlp.in.0", units=16, k=2, name="small", out=folder, **SHORT)
    return folder


def test_more_tokens_make_a_run_longer(tmp_path):
    longer = {**SHORT, "tokens": 2048}
    asked: dict[str, Any] = {"site": "mlp.in.0", "units": 16, "k": 2}
    whole = train(source(), **asked, **longer)
    train(source(), out=tmp_path / "ended", **asked, **SHORT)
    made = train(source(), out=tmp_path / "ended", resume=True, **asked, **longer)
    assert made.card is not None
    assert made.card.config["tokens"] == 2048
    assert torch.equal(made.b_dec, whole.b_dec)
    assert [line["tokens"] for line in log.read(tmp_path / "ended")][-1] == 2048
    stopped(tmp_path / "stopped")
    made = train(source(), out=tmp_path / "stopped", resume=True, **asked, **{**RUN, "tokens": 2 * RUN["tokens"]})
    assert made.card is not None
    assert made.card.config["tokens"] == 2 * RUN["tokens"]


def test_how_often_to_save_may_change(tmp_path):
    stopped(tmp_path)
    other = {**RUN, "checkpoint_every": "1 minute"}
    assert train(source(), site="mlp.in.0", units=16, k=2, out=tmp_path, resume=True, **other).n_units == 16


def test_a_damaged_checkpoint_is_one_clear_error(tmp_path):
    stopped(tmp_path)
    path = tmp_path / checkpoint.FILE
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(FormatError, match="remove it and train anew"):
        train(source(), site="mlp.in.0", units=16, k=2, out=tmp_path, resume=True, **RUN)
    with pytest.raises(MissingFile):
        checkpoint.read(tmp_path / "nowhere")


def test_values_and_tensors_come_back_as_they_were(tmp_path):
    state = {"a": [1, {"b": torch.arange(3)}, None], "c": {"d": torch.tensor(2.5), "e": "text", "f": 1e-300}}
    checkpoint.write(tmp_path, state)
    found = checkpoint.read(tmp_path)
    assert torch.equal(found["a"][1]["b"], torch.arange(3))
    assert found["c"]["d"].shape == ()
    assert (found["c"]["e"], found["c"]["f"], found["a"][2]) == ("text", 1e-300, None)
    newer = json.dumps({"__metadata__": {"format": "2", "state": "{}"}}).encode()
    (tmp_path / checkpoint.FILE).write_bytes(len(newer).to_bytes(8, "little") + newer)
    with pytest.raises(FormatError, match="format 2"):
        checkpoint.read(tmp_path)


def test_a_file_is_no_folder_of_a_run(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WrongUse, match="file is a file, no folder"):
        train(source(), site="mlp.in.0", units=16, k=2, out=tmp_path / "file", **SHORT)


def test_names_of_jobs_differ():
    with pytest.raises(WrongUse, match="a name of its own"):
        train_many(source(), [job("mlp.in.0"), job("mlp.in.0")])
