"""Commands that torchrun starts in two processes: they do what one does, and one of them speaks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from microtome.activations.store import open_store
from microtome.dictionary.saving import load
from microtome.train import log
from microtome.train.resharding import FOLDER
from microtome.train.training import train

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "microtome")
UNITS, TOKENS, BATCH = 24, 38_400, 64
QUIET = dict.fromkeys(("dead_units", "dense_units", "shrinkage", "too_good", "huge_tokens"), "off")
SETTINGS = {"batch": BATCH, "l1": 1.0, "lr": 1e-3, "log_every": "3%", "doctor": QUIET}


@pytest.fixture(scope="module")
def harvested(folder, kept, tmp_path_factory) -> tuple[Path, str]:
    """A store by two processes, and what they said."""
    home = tmp_path_factory.mktemp("harvest")
    text = "".join(f"The cat number {i} sat on mat {i * i}, and then it left.\n\n" for i in range(160))
    (home / "texts.txt").write_text(text)
    options = ("--model", str(folder), "--site", "resid.1", "--tokens", "900", "--context", "24", "--out", "store")
    done = subprocess.run(
        [*TORCHRUN, "harvest", "texts.txt", *options], cwd=home, env={**os.environ, "MICROTOME_CACHE": str(kept)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return home / "store", done.stdout


def command(store: Path, out: Path, *more: str) -> list[str]:
    settings = [f"--set={name}={one if name == 'log_every' else json.dumps(one)}" for name, one in SETTINGS.items()]
    place = ["--site", "resid.1", "--architecture", "relu", "--units", str(UNITS), "--tokens", str(TOKENS)]
    return [*TORCHRUN, "train", str(store), *place, *settings, "--out", str(out), *more]


def test_a_harvest_by_two_processes_is_one_store_and_one_summary(harvested):
    path, said = harvested
    store = open_store(path)
    store.verify()
    assert len(store) == 900
    assert len(store.shards) == 2
    assert said.count("900 tokens") == 1


def test_a_run_of_two_processes_is_stopped_and_gone_on_with(harvested, tmp_path):
    """The launcher is told to stop, as a scheduler would, once the first figures are there."""
    store, out = harvested[0], tmp_path / "sae"
    started = subprocess.Popen(command(store, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while started.poll() is None and not ((out / log.FILE).exists() and log.read(out)):
        time.sleep(0.01)
    started.send_signal(signal.SIGTERM)
    _, complaint = started.communicate()
    assert started.returncode != 0, complaint
    kept = sorted(path.name for path in (out / FOLDER).iterdir())
    assert [name.split(".", 1)[1] for name in kept] == ["json", "0-of-2.safetensors", "1-of-2.safetensors"], complaint
    done = subprocess.run(command(store, out, "--resume", "--json"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["card"]["config"]["tokens"] == TOKENS
    assert not (out / FOLDER).exists()
    whole = {"site": "resid.1", "architecture": "relu", "units": UNITS, "tokens": TOKENS, "out": tmp_path / "alone"}
    alone = train(open_store(store).split()[0], **whole, **SETTINGS)
    made = load(out).state_dict()
    for name, weight in alone.state_dict().items():
        torch.testing.assert_close(made[name], weight, rtol=1e-3, atol=1e-3)
    losses, theirs = ([line["loss"] for line in log.read(home)] for home in (out, tmp_path / "alone"))
    assert losses == pytest.approx(theirs, rel=1e-3)
