"""The log is written line by line, and what a killed run logged too much is taken out when it goes on."""

import importlib.util
import json
import math

import pytest

from microtome.core.errors import MissingPackage
from microtome.train import log
from microtome.train.config import RunConfig


def test_lines_are_strict_json_and_there_at_once(tmp_path):
    with log.opened(tmp_path, RunConfig(), tokens=0) as (sink,):
        sink("sae", 10, {"l0": 3.0, "terms": {"aux": math.nan}, "loss": math.inf})
        assert log.read(tmp_path) == [{"job": "sae", "tokens": 10, "l0": 3.0, "terms": {"aux": None}, "loss": None}]


def test_what_lies_beyond_the_checkpoint_is_taken_out(tmp_path):
    lines = [json.dumps({"job": "sae", "tokens": tokens}) for tokens in (10, 20, 30)]
    (tmp_path / log.FILE).write_text("\n".join([*lines, '{"job": "sa']))
    with log.opened(tmp_path, RunConfig(), tokens=20) as (sink,):
        sink("sae", 25, {})
    assert [line["tokens"] for line in log.read(tmp_path)] == [10, 20, 25]


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with log.opened(None, RunConfig(tensorboard=True), tokens=0) as sinks:
        assert sinks == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="needs the extra `tensorboard`")
def test_tensorboard_reads_what_was_written(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with log.opened(tmp_path, RunConfig(tensorboard=True), tokens=0) as sinks:
        for sink in sinks:
            sink("sae", 10, {"l0": 3.0, "terms": {"aux": 0.5}})
            sink("sae", 20, {"l0": 4.0, "doctor": "a spike"})
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(one.step, one.value) for one in found.Scalars("sae/l0")] == [(10, 3.0), (20, 4.0)]
    assert [one.value for one in found.Scalars("sae/terms/aux")] == [0.5]


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="the extra `wandb` is installed")
def test_what_is_not_installed_is_named(tmp_path):
    with (
        pytest.raises(MissingPackage, match=r"pip install 'microtome\[wandb\]'"),
        log.opened(tmp_path, RunConfig(wandb="project"), tokens=0),
    ):
        pass


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="the extra `wandb` is not installed")
def test_weights_and_biases_keeps_every_reading_by_its_tokens(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with log.opened(tmp_path, RunConfig(wandb="project"), tokens=0) as (_, sink):
        sink("sae", 10, {"l0": 3.0, "terms": {"aux": 2.0}, "said": "words"})
        sink("sae", 20, {"l0": 4.0})
    (written,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    held = written.read_bytes()
    assert all(name in held for name in (b"project", b"sae/l0", b"sae/terms/aux", b"tokens"))
