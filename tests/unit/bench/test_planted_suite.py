"""Architectures on planted features: an easy case is recovered, reseeding alone is not ranked, a run goes on."""

from dataclasses import replace

import pytest
import torch

from microtome.bench.planted import scoring
from microtome.bench.planted.config import KINDS, PLANTED, WORDS, SuiteConfig, planted_config
from microtome.bench.planted.scoring import NOTHING, Score, Scores, score
from microtome.bench.planted.verdicts import ABSORBED, CHANCE, MATCHED, RECOVERED, verdicts
from microtome.bench.planted.ways import NULLS, Place, all_architectures, nearest_of, null, penalty_of, search
from microtome.core.artefact import RunCard
from microtome.core.errors import UnknownName, WrongUse
from microtome.toy.planted.features import PlantedConfig
from microtome.toy.planted.scoring import Recovery

EASY = PlantedConfig(d=16, features=12, active=1.0, tail=0.0, spread=0.2)
CONFIG = SuiteConfig(
    kinds=("plain",), tokens=20_480, batch=512, lr=4e-2, seeds=3, scored_on=2048, fitted_on=2048, trials=3, close=1.5
)


@pytest.fixture(autouse=True, scope="module")
def easy():
    """An easy case in the place of a kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, "plain", EASY)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("planted")


@pytest.fixture(scope="module")
def scores(easy, folder):
    return score(folder, CONFIG, ["topk"])


def test_an_easy_case_is_recovered_and_by_no_null(scores):
    assert min(scores.of("plain", "topk", "recovered_fraction")) > 0.5
    for way in NULLS:
        assert len(scores.of("plain", way, "recovered_fraction")) == 3
        assert max(scores.of("plain", way, "recovered_fraction")) < 0.1
        assert max(scores.of("plain", way, "l0")) <= 1.0
    (standing,) = verdicts(scores).standings
    assert set(standing.figures) == {MATCHED.name, RECOVERED.name}
    for one in standing.figures.values():
        assert {other.name for other in one.nulls} == set(NULLS)
        assert all(one.beats(other) for other in one.nulls)
        assert one.n == 3


def test_random_directions_of_a_seed_are_not_the_features_of_that_seed():
    place = Place("plain", "random", 3)
    (block,) = null(place, CONFIG).units
    written = torch.nn.functional.normalize(block.W_dec.detach(), dim=1)
    assert float((place.planted.truth.directions @ written.T).diagonal().max()) < 0.9
    assert planted_config("plain", 3) == replace(EASY, seed=PLANTED + 3)


# --- verdicts


def of(values, architectures=("a", "b")):
    """A suite in which each architecture has these matched cosines, and nulls have 0.1 and a little."""
    told = [
        Score(Place("plain", way, seed), replace(NOTHING, matched_cosine=value, recovered_fraction=value), {}, 1.0)
        for way, row in zip(architectures, values, strict=True)
        for seed, value in enumerate(row)
    ]
    told += [
        Score(Place("plain", way, seed), replace(NOTHING, matched_cosine=0.1 + 0.01 * seed), {}, 1.0)
        for way in NULLS
        for seed in range(len(values[0]))
    ]
    return Scores(CONFIG, tuple(architectures), tuple(told), {}, RunCard("test", 1))


def test_two_reseeds_of_one_architecture_are_not_ranked(scores):
    found = scores.of("plain", "topk", "matched_cosine")
    for pair in verdicts(of([found[:2], found[1:]])).pairs:
        assert not pair.differs
        assert pair.comparison.words.startswith("Not ranked")


def test_a_difference_beyond_reseeding_is_and_says_of_what():
    (matched, recovered) = verdicts(of([[0.9, 0.92, 0.91, 0.9], [0.5, 0.52, 0.51, 0.5]])).pairs
    assert matched.differs
    assert matched.comparison.words.startswith("The first has the larger matched cosine (+0.4000")
    assert matched.comparison.difference.name == "difference of matched cosine"
    assert recovered.comparison.words.startswith("The first recovers more features")


def test_what_one_pair_would_show_many_pairs_need_not():
    """Welch's p of this pair is 0.03; among ten that is what chance gives."""
    near, far = [0.50, 0.52, 0.54, 0.48], [0.54, 0.57, 0.60, 0.545]
    alone = verdicts(of([near, far])).pairs[0]
    assert 0.01 < alone.comparison.p_value == alone.adjusted < 0.05
    many = verdicts(of([near, far, near, near, near], "abcde")).pairs
    first = next(one for one in many if (one.a, one.b, one.figure) == ("a", "b", "matched_cosine"))
    assert first.comparison.ranked
    assert first.adjusted > alone.adjusted


def test_absorption_stands_beside_what_silence_alone_would_give():
    suite = of([[0.9, 0.9, 0.8], [0.9, 0.8, 0.9]])
    told = tuple(
        replace(one, recovery=replace(one.recovery, absorbed=0.5 + 0.01 * one.place.seed, absorbed_by_chance=0.1))
        if one.place.way == "a"
        else one
        for one in suite.scores
    )
    first, second = verdicts(replace(suite, scores=told)).standings
    assert [other.name for other in first.figures[ABSORBED.name].nulls] == [CHANCE]
    assert first.figures[ABSORBED.name].beats(first.figures[ABSORBED.name].null)
    assert ABSORBED.name not in second.figures  # in no seed had a parent a unit of its own


# --- sparsity


def test_a_penalty_is_searched_for_until_its_sparsity_is_close():
    trials = search(lambda penalty: 12 / penalty, 3.0, 1.0, most=9, close=1.1)
    assert [round(penalty, 3) for penalty, _ in trials[:3]] == [1.0, 3.0, 9.0]
    assert 3 / 1.1 <= trials[-1][1] <= 3 * 1.1
    assert search(lambda penalty: 0.0, 3.0, 9.0, most=2, close=1.1) == ((9.0, 0.0), (3.0, 0.0))
    assert nearest_of(((1.0, 9.0), (2.0, 2.0), (4.0, 0.0)), 3.0) == 2.0


def test_every_architecture_has_a_k_or_a_known_penalty():
    assert {name: penalty_of(name) for name in all_architectures()} == {
        "batchtopk": None, "gated": "l1", "jumprelu": "l0", "linear": None, "matryoshka": None, "relu": "l1",
        "topk": None,
    }  # fmt: skip
    with pytest.raises(UnknownName):
        penalty_of("topkk")


def test_a_dictionary_in_which_nothing_fires_has_found_nothing(tmp_path):
    config = replace(CONFIG, seeds=2, tokens=1024, trials=1, settings={"jumprelu": {"threshold": 1e6}})
    made = score(tmp_path, config, ["jumprelu"])
    assert made.of("plain", "jumprelu", "recovered_fraction") == [0.0, 0.0]
    assert made.tuned["plain", "jumprelu"].trials == ((0.1, 0.0),)


# --- going on


def test_a_run_that_was_stopped_goes_on(folder, scores, monkeypatch):
    files = {path: path.read_bytes() for path in folder.rglob("*.json")}
    assert len(files) == 3 * (1 + len(NULLS))
    lost, cut = folder / "scores/plain/topk-1.json", folder / "scores/plain/topk-2.json"
    lost.unlink()
    cut.write_bytes(files[cut][:20])
    calls, train = [], scoring.trained

    def stopped(place, config, **settings):
        calls.append(place.seed)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(place, config, **settings)

    monkeypatch.setattr(scoring, "trained", stopped)
    with pytest.raises(KeyboardInterrupt):
        score(folder, CONFIG, ["topk"])
    assert lost.exists()
    assert not list(folder.rglob("*.part"))
    again = score(folder, CONFIG, ["topk"])
    assert calls == [1, 2, 2]
    assert [one.recovery for one in again.scores] == [one.recovery for one in scores.scores]


def test_other_settings_are_made_anew_and_more_seeds_are_added(tmp_path, monkeypatch):
    config, calls, train = replace(CONFIG, seeds=2, tokens=1024), [], scoring.trained
    monkeypatch.setattr(scoring, "trained", lambda place, *a, **k: calls.append(place.seed) or train(place, *a, **k))
    score(tmp_path, config, ["topk"])
    score(tmp_path, replace(config, seeds=3, level=0.9), ["topk"])
    assert calls == [0, 1, 2]
    score(tmp_path, replace(config, lr=1e-3), ["topk"])
    assert calls == [0, 1, 2, 0, 1]


def test_what_cannot_be_run_is_refused():
    with pytest.raises(WrongUse, match="plant features"):
        SuiteConfig(kinds=("plane",))
    with pytest.raises(WrongUse, match="at least 2 seeds"):
        SuiteConfig(seeds=1)
    assert set(WORDS) == set(KINDS)
    assert Recovery.from_dict(NOTHING.to_dict()) == NOTHING
