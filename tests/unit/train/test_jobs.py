"""Plain settings become a job: each setting reaches the one that knows it, and sites decide what is made."""

import pytest
import torch

from microtome.core.errors import SiteNotFound, UnknownName, WrongUse
from microtome.dictionary.architectures.topk import TopK
from microtome.train.config import TrainConfig
from microtome.train.job import job
from microtome.train.training import train
from unchecked import unchecked


def test_settings_reach_the_one_that_knows_them():
    found = job("resid.3", "topk", 64, seed=7, k=5, lr=1e-3, warm_up="1%", skip=False)
    assert found.architecture == TopK(k=5)
    assert found.training == TrainConfig(lr=1e-3, warm_up="1%")
    assert (found.units, found.seed, found.name) == (64, 7, "topk sae resid.3 64 units")


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ({"site": "a"}, "sae"),
        ({"site": ("a", "b")}, "crosscoder"),
        ({"reads": "a", "writes": "b"}, "transcoder"),
        ({"reads": ["a", "b"], "writes": ["b", "a"], "kind": "clt"}, "cross-layer transcoder"),
    ],
)
def test_sites_decide_what_is_made(place, kind):
    found = job(units=8, k=4, **place)
    assert found.geometry({"a": 4, "b": 4}).kind == kind
    assert found.conventions.centred == (kind in ("sae", "crosscoder"))


@pytest.mark.parametrize(
    "place",
    [{}, {"reads": "a"}, {"site": "a", "writes": "b"}, {"reads": ["a", "b"], "writes": ["a", "b"]},
     {"reads": ["a", "b"], "writes": "a", "kind": "clt"}, {"site": "a", "kind": "clt"}],
)  # fmt: skip
def test_sites_that_make_nothing_are_refused(place):
    with pytest.raises(WrongUse, match="kind='clt'"):
        job(**place)


@pytest.mark.parametrize(
    ("settings", "found", "do"),
    [
        ({"k": 0}, "k = 0", "give a k of at least 1"),
        ({"k": -3}, "k = -3", "give a k of at least 1"),
        ({"k": 2.5}, "k = 2.5", "give k as a whole number"),
        ({"k": "8"}, "k = '8'", "give k as a whole number"),
        ({"k": True}, "k = True", "give k as a whole number"),
        ({"k": 65}, "k = 65", "give a k of at most 64"),
        ({"aux_k": -1}, "aux_k = -1", "give a aux_k of at least 0"),
        ({"by_norm": 1}, "by_norm = 1", "give by_norm as True or False"),
        ({"architecture": "batchtopk", "k": 0.0}, "k = 0.0", "give a k above 0"),
        ({"architecture": "batchtopk", "k": 65}, "k = 65", "give a k of at most 64"),
        ({"architecture": "batchtopk", "threshold_rate": 0.0}, "threshold_rate = 0.0", "give a threshold_rate above 0"),
        ({"architecture": "linear", "k": 0}, "k = 0", "give a k of at least 1"),
        ({"architecture": "relu", "l1": -1.0}, "l1 = -1.0", "give a l1 of at least 0"),
        ({"architecture": "gated", "l1": "5"}, "l1 = '5'", "give l1 as a number"),
        ({"architecture": "jumprelu", "window": 0.0}, "window = 0.0", "give a window above 0"),
        ({"architecture": "jumprelu", "penalty": "l1"}, "penalty = 'l1'", "give penalty as 'step' or 'tanh'"),
        ({"seed": -1}, "seed = -1", "give a seed of at least 0"),
        ({"seed": 0.5}, "seed = 0.5", "give seed as a whole number"),
        ({"units": 64.0}, "units = 64.0", "give units as a whole number"),
        ({"units": 0}, "units = 0", "give a units of at least 1"),
        ({"lr": "fast"}, "lr = 'fast'", "give lr as a number or None"),
        ({"lr": float("nan")}, "lr = nan", "give a lr above 0"),
        ({"betas": (0.9, 1.0)}, "beta = 1.0", "give a beta of at most 0.999999"),
        ({"betas": (0.9,)}, "betas = (0.9,)", "give betas as a list"),
        ({"decoder": "fixed"}, "decoder = 'fixed'", "give decoder as 'free' or 'unit'"),
        ({"warm_up": 5}, "warm_up = 5", "give warm_up as words"),
    ],
)
def test_settings_of_another_kind_or_out_of_range_are_named(settings, found, do):
    with unchecked(), pytest.raises(WrongUse) as said:
        job("a", **{"units": 64, **settings})
    assert (said.value.found, said.value.do) == (found, do)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"tokens": 1e6}, "tokens = 1000000.0"),
        ({"batch": "256"}, "batch = '256'"),
        ({"columns": 0}, "columns = 0"),
        ({"log_every": 5}, "log_every = 5"),
        ({"doctor": "off"}, "doctor = 'off'"),
        ({"tensorboard": True}, "tensorboard=True, and no folder for its files"),
        ({"device": "gpu0"}, "device = 'gpu0'"),
    ],
)
def test_settings_of_a_run_are_named_too(settings, found):
    with unchecked(), pytest.raises(WrongUse) as said:
        train(torch.randn(8, 4), site="a", units=8, k=2, **{"tokens": 8, "batch": 4, **settings})
    assert said.value.found.startswith(found)


def test_a_misspelt_setting_names_the_nearest():
    with pytest.raises(UnknownName, match=r"'warmup'; the closest are 'warm_up'"):
        job("a", warmup="5%")


def test_a_setting_of_another_architecture_is_none_of_this_one():
    with pytest.raises(UnknownName, match="no setting of this training is called 'l1'"):
        job("a", "topk", l1=5.0)


def test_a_site_that_the_source_lacks_is_named():
    with pytest.raises(SiteNotFound, match=r"'resid\.15'; the closest are 'resid\.5'"):
        job("resid.15").geometry({"resid.5": 4})


def test_sites_read_together_have_one_width():
    with pytest.raises(WrongUse, match=r"\{'a': 4, 'b': 5\}"):
        job(("a", "b")).geometry({"a": 4, "b": 5})


def test_widths_may_differ_between_reads_and_writes():
    found = job(reads="a", writes="b").geometry({"a": 4, "b": 5})
    assert (found.d_in, found.d_out) == (4, 5)
