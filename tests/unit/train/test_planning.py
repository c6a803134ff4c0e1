"""Plans are held to small runs: bytes in memory, on the disk and on the wire, and work, each to 15%."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.utils.flop_counter import FlopCounterMode

from microtome.activations.rows import Rows
from microtome.activations.shards import Draft
from microtome.cluster.mesh import joined
from microtome.core.errors import UnknownName, WrongUse
from microtome.dictionary import choosing, sparse
from microtome.dictionary.architecture import Moment
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.codes import Picks
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.geometry import sae
from microtome.dictionary.kernels import plain
from microtome.dictionary.saving import save
from microtome.dictionary.starting import untrained
from microtome.train import planning
from microtome.train.hardware import HARDWARE, Hardware
from microtome.train.planning import PlanConfig, disk_of, flops_of, memory_of, plan, wire_of
from microtome.train.sharding import Together
from microtome.train.trial import step_seconds
from several_ranks import on_ranks

HERE = Hardware("here", 1e11, 1e12, 1e10, 1e8, 1e10, 1e9, 1e9, 8, "a test", 1e11, 1.0, compiled=True)
CLOSE = 0.15
SITE = "resid.0"


@pytest.mark.parametrize(
    "settings",
    [
        {"d": 256, "units": 16384, "k": 32, "batch": 2048, "aux_k": 0, "dead": 0.0},
        {"d": 512, "units": 4096, "k": 32, "batch": 8192, "aux_k": 64, "dead": 0.25},
    ],
    ids=["many units", "large batch, some dead"],
)
def test_memory(settings):
    """Of a process that trains, above what it had before; at most 15% off, weights and Adam's state included."""
    script = str(Path(__file__).with_name("peak_memory.py"))
    given_back = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # at once, so that the allocator keeps nothing
    command = [sys.executable, script, json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=given_back)
    assert done.returncode == 0, done.stderr
    machine = replace(HERE, screened=choosing.screened_in(torch.device("cpu")).itemsize)
    assert sum(memory_of(PlanConfig(**settings), machine).values()) == pytest.approx(int(done.stdout), rel=CLOSE)


def counted(function: Callable[..., torch.Tensor], flops: list[int]) -> Callable[..., torch.Tensor]:
    """A sparse product, with its multiplications and additions noted."""

    def run(first: torch.Tensor, second: torch.Tensor, picks: Picks) -> torch.Tensor:
        flops.append(2 * len(picks) * second.shape[1])
        return function(first, second, picks)

    return run


def step(dictionary: Dictionary, x: torch.Tensor, dead: float) -> None:
    gone = torch.arange(dictionary.n_units) < round(dead * dictionary.n_units)
    dictionary.architecture.outcome(dictionary, x, x, Moment(1.0, (gone,))).loss.backward()


@pytest.mark.parametrize("dead", [0.0, 0.25, 0.5])
def test_work(dead, monkeypatch):
    """Dense products as torch counts them, sparse ones as the kernels in plain torch are called."""
    flops: list[int] = []
    for name in ("dots", "mixed", "gathered"):
        monkeypatch.setattr(plain, name, counted(vars(plain)[name], flops))
    for module in (sparse, choosing):
        monkeypatch.setattr(module, "kernels_for", lambda x: plain)
    config = PlanConfig(d=64, units=2048, k=16, batch=256, tokens=256, aux_k=32, dead=dead)
    dictionary = untrained(sae(SITE, 64, 2048), TopK(k=16, aux_k=32), seed=0)
    x = torch.randn(256, 1, 64, generator=torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as dense:
        step(dictionary, x, dead)
    planned = flops_of(config)
    assert dense.get_total_flops() == pytest.approx(planned["dense products"], rel=CLOSE)
    assert sum(flops) == pytest.approx(planned["sparse products"], rel=CLOSE)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_disk_of_a_store(dtype, tmp_path):
    n, d, sites = 2000, 64, ("resid.0", "resid.1")
    draft = Draft(dict.fromkeys(sites, d), dtype, n)
    numbers = torch.arange(n)
    values = {site: torch.randn(n, d) for site in sites}
    squares = {site: values[site].square().sum(1) for site in sites}
    draft.add(Rows(values, squares, numbers, numbers, numbers, numbers > 0))
    found = draft.write(tmp_path, 0).bytes
    planned = disk_of(PlanConfig(d=d, units=1, tokens=n, batch=1, sites=2, dtype=dtype))
    assert planned["activations"] == pytest.approx(found, rel=0.05)


def test_disk_of_a_dictionary(tmp_path):
    folder = save(untrained(sae(SITE, 64, 512), TopK(), seed=0), tmp_path / "made")
    found = sum(path.stat().st_size for path in folder.iterdir())
    assert disk_of(PlanConfig(d=64, units=512))["the dictionary"] == pytest.approx(found, rel=0.05)


def bytes_sent(columns: int, settings: dict) -> float:
    """Of one process in one step, counted where collectives are called."""
    config, sent = PlanConfig(**settings), [0.0]
    reduce, exchange = dist.all_reduce, dist.all_to_all_single

    def counted_reduce(tensor, op, group):
        n = dist.get_world_size(group)
        sent[0] += 2 * (n - 1) / n * tensor.nbytes
        return reduce(tensor, op, group)

    def counted_exchange(out, tensor, group):
        n = dist.get_world_size(group)
        sent[0] += (n - 1) / n * tensor.nbytes
        return exchange(out, tensor, group=group)

    with joined(columns) as mesh:
        dist.all_reduce, dist.all_to_all_single = counted_reduce, counted_exchange
        team, geometry = Together(mesh), sae(SITE, config.d, config.units)
        dictionary = untrained(geometry, TopK(config.k, aux_k=config.aux_k), seed=0, shares=team.shares(geometry))
        x = torch.randn(config.batch, config.d, generator=torch.Generator().manual_seed(0))
        step(dictionary, x[team.part(len(x))][:, None], config.dead)
        team.average(dictionary)
        dist.all_reduce, dist.all_to_all_single = reduce, exchange
        return sent[0]


@pytest.mark.parametrize("columns, dead", [(4, 0.0), (2, 0.25)])
def test_wire(columns, dead, tmp_path):
    settings = {"d": 64, "units": 512, "k": 16, "batch": 256, "tokens": 256, "aux_k": 32, "dead": dead}
    told = on_ranks(4, tmp_path, bytes_sent, columns, settings)
    planned = wire_of(PlanConfig(**settings, columns=columns, rows=4 // columns))
    assert sum(planned.values()) == pytest.approx(told[0], rel=CLOSE)


def test_what_does_not_fit_is_said_and_the_fewest_that_fit_are_found():
    asked = {"d": 8192, "units": 34_000_000, "k": 128, "tokens": 8_000_000_000, "batch": 8192}
    one = plan("h100", **asked)
    assert not one.fits
    assert "MORE THAN IT HAS" in str(one)
    found = plan("h100", **asked, columns=0)
    assert found.fits
    fewer = plan("h100", **asked, columns=found.config.columns // 2)
    assert not fewer.fits
    assert found.cost.total("seconds") < one.cost.total("seconds")
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_model_that_streams_is_held_and_run_by_every_process():
    asked = {"d": 64, "units": 512, "parameters": 1e9, "columns": 4}
    kept, streamed = plan("a100", **asked), plan("a100", **asked, dtype="none")
    assert streamed.cost.total("memory") - kept.cost.total("memory") == 2e9
    running = "running the model"
    for kind in ("flops", "seconds"):
        assert streamed.cost.to_dict()[kind][running] == pytest.approx(4 * kept.cost.to_dict()[kind][running])
    with pytest.raises(WrongUse, match="a model and a batch"):
        plan("a100", **{**asked, "parameters": 1e11, "columns": 0}, dtype="none")


def test_one_process_sends_nothing():
    assert plan("a100", d=64, units=512).cost.total("wire") == 0


def test_what_cannot_be_planned_is_refused():
    with pytest.raises(UnknownName, match="h100"):
        plan("h10", d=64, units=64)
    with pytest.raises(UnknownName, match="unit"):
        plan("h100", d=64, unit=64)
    with pytest.raises(WrongUse, match="units=0"):
        plan("h100", d=64, units=0)
    with pytest.raises(WrongUse, match="leave no room"):
        plan("h100", d=8192, units=1 << 20, batch=1 << 24, columns=0)


def test_hours_here_are_those_of_steps_that_were_tried(monkeypatch):
    asked = {"d": 64, "units": 512, "tokens": 1280, "batch": 128}
    monkeypatch.setattr(planning, "step_seconds", lambda *sizes: 3.0)
    assert plan("here", **asked).cost.total("seconds") == pytest.approx(30.0)
    running = plan("here", **asked, parameters=1e6).cost.to_dict()["seconds"]["running the model"]
    assert running < 1.0  # the model was not tried


@pytest.mark.parametrize("memory", [1e12, 1e8])
def test_what_is_tried_is_short_and_small(memory, monkeypatch):
    tried: list[tuple[int, ...]] = []

    def taken(*sizes: int) -> float:
        tried.append(sizes)
        return 0.1

    monkeypatch.setattr(planning, "step_seconds", taken)
    monkeypatch.setattr(planning, "measured", lambda *sizes: replace(HERE, memory=memory))
    plan("here", d=64, units=4096, k=8, batch=512)
    plan("here", d=1024, units=1 << 20, k=8, batch=1 << 16)
    assert tried[0] == (64, 4096, 8, 512)  # as it is
    d, units, k, batch = tried[1]
    trial = PlanConfig(d, units, k, tokens=batch, batch=batch)
    assert (d, k) == (1024, 8)
    assert units <= 2 * batch
    assert sum(memory_of(trial, HERE).values()) <= planning.FILLED * memory
    assert flops_of(trial)["dense products"] <= HERE.matmul * planning.TRIED


def test_a_step_is_tried():
    assert 0 < step_seconds(16, 64, 4, 32) < 60


def test_hardware_has_its_source():
    assert all(len(one.source) > 20 and one.near >= one.far for one in HARDWARE.values())
    planned = plan("here", d=64, units=512)
    assert "by steps that were tried" in str(planned)
    assert plan("here", d=64, units=512, columns=0).processes == 1
    assert "at 50% of what the hardware does" in str(plan("h100", d=64, units=512))
    here = planned.hardware
    assert here.matmul > 1e8
    assert here.bandwidth > 1e8
