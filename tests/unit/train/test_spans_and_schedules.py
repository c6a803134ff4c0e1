"""Spans mean the same in words and in tokens, and schedules rise and fall where they say."""

import pytest

from microtome.core.errors import WrongUse
from microtome.train.clock import Clock
from microtome.train.config import RunConfig, TrainConfig
from microtome.train.schedule import Schedule, crossed, usual_rate
from microtome.train.span import tokens_of
from unchecked import unchecked


@pytest.mark.parametrize(
    ("span", "tokens"),
    [
        ("5%", 100_000), ("0.5 %", 10_000), ("100%", 2_000_000), ("0%", 0), ("1 token", 1), ("4,096 tokens", 4096),
        ("200k tokens", 200_000), ("1.5M tokens", 1_500_000), ("10M tokens", 10_000_000), (" 1B tokens ", 10**9),
        ("4_096 tokens", 4096),
    ],
)  # fmt: skip
def test_a_span_is_a_share_or_tokens(span, tokens):
    assert tokens_of(span, 2_000_000) == tokens


@pytest.mark.parametrize("span", ["5", "0.05", "101%", "1000 steps", "-5%", "tokens", "5k", "", "1,00,0 token s"])
def test_anything_else_is_refused(span):
    with pytest.raises(WrongUse, match="'5%' of the run, or as '200k tokens'"):
        tokens_of(span, 1000)


def schedule(**training) -> Schedule:
    return Schedule(TrainConfig(**training), RunConfig(tokens=10_240, batch=1024))


def test_the_learning_rate_rises_stays_and_falls():
    found = schedule(warm_up="20%", decay="30%")
    rates = [found.rate(step * 1024) for step in range(10)]
    assert rates == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 1, 2 / 3, 1 / 3])


def test_without_warm_up_and_decay_it_stays():
    assert {schedule(warm_up="0%", decay="0%").rate(step * 1024) for step in range(10)} == {1.0}


def test_penalties_rise_to_their_full_weight_and_stay():
    found = schedule(ramp="4096 tokens")
    assert [found.ramp(step * 1024) for step in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_a_run_is_whole_batches():
    assert RunConfig(tokens=2_000_000, batch=4096).steps == 488
    assert Schedule(TrainConfig(), RunConfig(tokens=10_000, batch=4096)).tokens == 8192


def test_a_span_is_crossed_once():
    crossings = [at for at in range(0, 1000, 30) if crossed(100, at - 30, at)]
    assert crossings == [0, 120, 210, 300, 420, 510, 600, 720, 810, 900]


def test_a_clock_counts_tokens_or_minutes():
    by_tokens, by_minutes, at_once = Clock("30%", 1000), Clock("10 minutes", 1000), Clock("0 minutes", 1000)
    times = range(100, 1001, 100)
    assert [at for at in times if by_tokens.due(at)] == [300, 600, 900]
    assert not any(by_minutes.due(at) for at in times)
    assert all(at_once.due(at) for at in times)


@pytest.mark.parametrize(
    "wrong", [{"decoder": "tied"}, {"centre": "middle"}, {"lr": 0.0}, {"clip": -1.0}, {"warm_up": "1000 steps"}]
)
def test_settings_out_of_range_are_refused(wrong):
    with unchecked(), pytest.raises(WrongUse, match=str(next(iter(wrong.values())))):
        TrainConfig(**wrong)


def test_a_run_has_at_least_one_batch():
    with pytest.raises(WrongUse, match=r"100 tokens in batches of 4,096"):
        RunConfig(tokens=100)


@pytest.mark.parametrize("steps, times", [(16, 8.0), (500, 8.0), (5_000, 10**0.5), (50_000, 1.0), (10**6, 1.0)])
def test_short_runs_learn_at_a_higher_rate(steps, times):
    assert usual_rate(2**14, steps) == pytest.approx(2e-4 * times)
    assert usual_rate(2**12, steps) == pytest.approx(4e-4 * times)
