"""Plain settings become a job: each setting reaches the one that knows it, and sites decide what is made."""

import pytest

from microtome.core.errors import SiteNotFound, UnknownName, WrongUse
from microtome.dictionary.architectures.topk import TopK
from microtome.train.config import TrainConfig
from microtome.train.job import job


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
    found = job(units=8, **place)
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
