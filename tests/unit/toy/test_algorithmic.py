"""Trained induction heads: they go on with what comes again, by the heads that are named, and are made anew alike."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import microtome as mt
from microtome.core.errors import WrongUse
from microtome.toy.algorithmic import addition
from microtome.toy.algorithmic.induction import InductionConfig, drawn
from microtome.toy.algorithmic.modular import ModularConfig
from microtome.toy.algorithmic.trained import accuracy, attention, loaded, trained

RECIPE = Path(__file__).parents[3] / "recipes" / "make_algorithmic.py"


@pytest.fixture(scope="module")
def made():
    return loaded()


@pytest.fixture(scope="module")
def model(made):
    return made.open()


def heads(made):
    return [node for node in made.truth.roles if node.startswith("head")]


def without(head):
    _, layer, place = head.split(".")
    return mt.ablate(f"attn.heads.{layer}", units=int(place))


def test_rows_say_everything_twice():
    rows = drawn(50, 12, 32, torch.Generator().manual_seed(3))
    row, at = rows.asked.nonzero(as_tuple=True)
    assert torch.equal(rows.ids[row, at], rows.ids[row, rows.came[row, at]])
    assert torch.equal(rows.ids[row, at + 1], rows.ids[row, rows.came[row, at] + 1])
    assert (rows.came[row, at] < 12).all()
    assert all(len(set(line)) == 13 for line in rows.ids.tolist())


def test_what_ships_goes_on_with_what_comes_again(made, model):
    assert accuracy(model, made.rows()) > 0.95
    ours, theirs = made.module(made.rows().ids).logits, model.run(made.rows().ids.tolist())["logits"]
    torch.testing.assert_close(theirs, ours)


def test_the_heads_look_where_it_is_claimed(made, model):
    found = attention(model, made.rows())
    (_, _, before), (_, _, after) = (name.split(".") for name in heads(made))
    assert found["previous"][0, int(before)] > 0.8
    assert found["induction"][1, int(after)] > 0.6


def test_it_breaks_without_either_head_and_not_without_another(made, model):
    rows = made.rows()
    every = [f"head.{layer}.{head}" for layer in range(2) for head in range(made.config.heads)]
    left = {head: accuracy(model, rows, without(head)) for head in every}
    assert all((left[head] < 0.5) == (head in made.truth.roles) for head in every), left
    assert all(left[head] > 0.9 for head in every if head not in made.truth.roles), left
    assert made.truth.idle == {"mlp.0", "mlp.1", "head.1.1"}
    assert not model.run(rows.ids.tolist(), ["mlp.out.*"])["mlp.out.0"].any()


def test_pairs_are_answered_and_patching_a_head_turns_the_answer(made, model):
    task = made.pairs(40, seed=1)
    assert made.pairs(10, seed=1).rows == task.rows[:10]
    assert made.pairs(5, seed=2).rows != task.rows[:5]
    answers = [[made.tokenizer.encode(text, add_special_tokens=False)[0] for text in (one.target, one.against)]
               for one in task.rows]  # fmt: skip

    def share(texts, *edits):
        logits = [model.run(text, edits=edits)["logits"][0, -1] for text in texts]
        return sum(bool(row[yes] > row[no]) for row, (yes, no) in zip(logits, answers, strict=True)) / len(answers)

    assert share(one.clean for one in task.rows) > 0.95
    assert share(one.counterfactual for one in task.rows) < 0.05

    def turned(head):
        _, layer, place = head.split(".")
        patched = [
            model.run(one.clean, edits=[mt.ablate(
                f"attn.heads.{layer}", units=int(place), to="counterfactual", source=one.counterfactual,
            )])["logits"][0, -1] for one in task.rows
        ]  # fmt: skip
        return sum(bool(row[no] > row[yes]) for row, (yes, no) in zip(patched, answers, strict=True)) / len(patched)

    before, after = heads(made)
    assert turned(after) > 0.95
    assert turned(before) < 0.05  # so that `causal` leaves it out: where the other looks is the same in both
    assert made.causal(task).nodes == {"embed", after, "logits"}


@pytest.mark.parametrize(
    "make, config", [(trained, InductionConfig(steps=3)), (addition.trained, ModularConfig(steps=3))]
)
def test_the_same_settings_make_the_same_network(make, config, tmp_path):
    one, other = make(config), make(config)
    assert all(torch.equal(x, y) for x, y in zip(one.module.parameters(), other.module.parameters(), strict=True))


def test_the_recipe_saves_what_it_made(tmp_path):
    command = [sys.executable, RECIPE, "--steps", "3", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert loaded(tmp_path / "induction").config == InductionConfig(steps=3)
    assert addition.loaded(tmp_path / "addition").config == ModularConfig(steps=3)


def test_what_cannot_be_is_refused(made):
    with pytest.raises(WrongUse, match="halves of 40 words"):
        InductionConfig(half=40)
    with pytest.raises(WrongUse, match="n=0"):
        made.pairs(0)
