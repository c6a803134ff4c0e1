"""A run that was killed anywhere, with SIGKILL or by Ctrl-C, ends bit for bit as one that was not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_runs import RUN, source, two_jobs, weights

from microtome.core.errors import FormatError, MissingFile, WrongUse
from microtome.train import checkpoint, log
from microtome.train.job import job
from microtome.train.training import train, train_many

HERE = Path(__file__).parent
POINTS = ("batch 0", "batch 4", "batch 17", "writing a checkpoint", "writing dictionaries", "ctrl-c", "terminated")
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


def test_names_of_jobs_differ():
    with pytest.raises(WrongUse, match="a name of its own"):
        train_many(source(), [job("mlp.in.0"), job("mlp.in.0")])
