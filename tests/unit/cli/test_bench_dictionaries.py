"""`microtome bench dictionaries`: the page, its pictures and the record of a small run; and that it goes on."""

import json
from dataclasses import replace

import pytest

from microtome.bench.planted import config, scoring
from microtome.toy.planted.features import PlantedConfig


@pytest.fixture
def small(monkeypatch):
    """Families of an easy size, for which `--quick` takes seconds."""
    families = PlantedConfig(d=16, features=12, active=1.0, tail=0.0, children=1, covered=0.5)
    monkeypatch.setitem(config.KINDS, "families", families)
    quick = replace(config.QUICK, kinds=("families",), tokens=10_240, batch=256, lr=2e-2, scored_on=1024)
    monkeypatch.setattr(config, "QUICK", quick)


def test_help_comes_with_an_example(microtome):
    for words, example in ((["bench"], "bench dictionaries"), (["bench", "dictionaries"], "bench dictionaries")):
        done = microtome(*words, "--help")
        assert done.returncode == 0
        assert f"Example: microtome {example} --out" in " ".join(done.stdout.split())


def test_a_quick_run_writes_its_page_and_goes_on(small, invoke, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    words = ("bench", "dictionaries", "topk", "batchtopk", "--quick", "--out", "made")
    done = invoke(*words)
    assert done.code == 0
    assert "recovered fraction of topk (families)" in done.out
    assert "pairs of architectures differ in recovered fraction beyond reseeding" in done.out
    page = (tmp_path / "made" / "index.md").read_text(encoding="utf-8")
    for said in ("**topk**", "null: frozen-decoder", "By recovered fraction,", "by chance", "Not ranked"):
        assert said in page
    for name in ("planted-recovery.png", "planted-families.png"):
        assert (tmp_path / "made" / name).stat().st_size > 5000
    monkeypatch.setattr(scoring, "trained", None)  # nothing is trained a second time
    again = invoke(*words, "--json")
    assert again.code == 0
    record = json.loads(again.out)
    assert record["card"]["config"]["kinds"] == ["families"]
    assert {one["architecture"] for one in record["standings"]} == {"topk", "batchtopk"}
    assert all(one["figures"]["recovered_fraction"]["nulls"] for one in record["standings"])


def test_a_kind_that_does_not_exist_is_told(invoke):
    done = invoke("bench", "dictionaries", "--kind", "plane", "--out", "made")
    assert (done.code, done.out) == (2, "")
    assert "plain" in done.err
