"""Networks held to programs: what each node of the program carries, and that the others carry nothing."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
import torch

from microtome.core.errors import FormatError, UnknownName, WrongUse
from microtome.toy.compiled.interpreter import traced
from microtome.toy.compiled.programs import PROGRAMS
from microtome.toy.interchange.alignment import aligned
from microtome.toy.interchange.held import HELD, SHIPPED, agreement, held, loaded
from microtome.toy.interchange.learning import InterchangeConfig, learn, network, swapped
from microtome.toy.interchange.rows import UNSAID, interchanges
from microtome.toy.known import known, known_names

RECIPE = Path(__file__).parents[3] / "recipes" / "make_interchange.py"
HALF = 0.99  # of inputs right at every word


@pytest.fixture(scope="module")
def xor():
    return held("xor")


def test_a_program_is_laid_over_a_network():
    of = aligned(PROGRAMS.get("reverse"), 3, 4, seed=2)
    head, mlp, other = of.at
    assert (head[:7], mlp, other[:7]) == ("head.0.", "mlp.0", "head.1.")
    assert [one.name for held in of.at.values() for one in held] == [
        "place of the separator", "mirrored place", "mirrored token"
    ]  # fmt: skip
    assert len(of.nodes) == 15
    assert set(of.nodes) == {*of.at, *of.others}
    assert of.truth.structural.nodes == {"embed", *of.at, "logits"}
    assert of.truth.decoys == set(of.others)
    assert {tuple(aligned(of.program, 3, 4, seed).at) for seed in range(9)} != {tuple(of.at)}


def test_an_interchange_is_what_the_program_says_then():
    program = PROGRAMS.get("two_back")
    of = aligned(program, 2, 4, 0)
    first, second = of.at
    other = traced(program, ["b", "c", "d", "e"])
    assert of.interchanged(first, tuple("aaaa"), other) == (None, None, "b", "c")  # what each read before it
    assert of.interchanged(second, tuple("aaaa"), other) == other[program.output] == (None, None, "b", "c")


def test_rows_tell_what_follows_and_are_drawn_by_the_seed():
    of = aligned(PROGRAMS.get("xor"), 2, 4, 0)
    words = ("<bos>", "0", "1", "even", "odd")
    rows = interchanges(of, words, 40, seed=3)
    again = interchanges(of, words, 40, seed=3)
    assert torch.equal(rows.base, again.base)
    assert rows.node.bincount().tolist() == [40, 40, 40]
    assert ((rows.plain == UNSAID) == (rows.changed == UNSAID)).all()
    told = (rows.plain != rows.changed).any(1)
    assert told.float().mean() > 0.5
    last = (rows.plain != UNSAID).sum(1) - 1
    for row in range(5):
        said = traced(of.program, [words[one] for one in rows.base[row, 1 : last[row] + 1]])[of.program.output]
        assert [words[one] for one in rows.plain[row, 1 : last[row] + 1]] == [one or "<bos>" for one in said]


@pytest.mark.parametrize("name", HELD)
def test_what_ships_is_held_to_its_program(name):
    made = held(name)
    model = made.open()
    found = agreement(made, model, n=60)
    assert set(found) == {"plain", "others", *made.alignment.at}
    assert min(found.values()) >= HALF, found
    inputs = [made.alignment.program.draw(random) for random in map(Random, range(50))]
    right = [said == made.expected(words) for said, words in zip(made.said(model, inputs), inputs, strict=True)]
    assert sum(right) / len(right) >= HALF


def test_the_measure_sees_a_network_that_is_held_to_nothing(xor):
    config = InterchangeConfig("xor", steps=1)
    module = network(config, xor.words).eval()
    found = agreement(type(xor)(module, xor.tokenizer, config, config.alignment, xor.words),
                      type(xor)(module, xor.tokenizer, config, config.alignment, xor.words).open(), n=20)  # fmt: skip
    assert max(found.values()) < 0.5


def test_edits_of_a_model_and_hooks_in_training_interchange_alike(xor):
    model = xor.open()
    rows = interchanges(xor.alignment, xor.words, 10, seed=1)
    places = {name: torch.zeros(len(rows.node), dtype=torch.bool) for name in xor.alignment.nodes}
    for place, node in enumerate(xor.alignment.at):
        places[node] = rows.node == place
    best = swapped(xor.module, rows, places).argmax(-1)
    right = ((best == rows.changed) | (rows.changed == UNSAID)).all(1)
    found = agreement(xor, model, n=10, seed=1)
    shares = [found[node] for node in xor.alignment.at]
    assert right.float().mean().item() == pytest.approx(sum(shares) / len(shares))


def test_pairs_differ_in_every_value_and_the_truth_says_which_matter(xor):
    task = xor.pairs(20, seed=4)
    assert task.rows[:5] == xor.pairs(5, seed=4).rows
    for row in task.rows:
        assert len(row.clean.split()) == len(row.counterfactual.split())
        assert f" {xor.expected(row.clean.split())[-1]}" == row.target != row.against
    assert xor.causal(task).components == xor.truth.structural.components


def test_learning_holds_a_network_step_by_step():
    config = InterchangeConfig("previous_token", layers=1, heads=2, width=16, steps=60, rows=32, pairs=60, lr=1e-2)
    words = ("<bos>", "a", "b", "c", "d", "e")
    one, other = network(config, words), network(config, words)
    losses = learn(one, config, words)
    assert losses[-1] < losses[0] / 2
    assert learn(other, config, words) == losses
    assert all(torch.equal(x, y) for x, y in zip(one.parameters(), other.parameters(), strict=True))


def test_the_recipe_saves_what_it_made(tmp_path):
    command = [sys.executable, RECIPE, "xor", "--steps", "3", "--pairs", "20", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "xor: " in done.stdout
    made = loaded(tmp_path / "xor")
    assert made.config.steps == 3
    assert made.config.program == "xor"


def test_every_known_network_has_one_face():
    assert {"xor", "held-xor", "induction-heads"} <= set(known_names())
    for name in ("xor", "held-two_back", "induction-heads"):
        made = known(name)
        task = made.pairs(4, seed=1)
        assert made.causal(task).components <= made.truth.structural.components
        assert made.truth.nodes_only == (name != "xor")
    with pytest.raises(UnknownName, match="held-xor"):
        known("held-xro")


def test_what_cannot_be_is_refused():
    with pytest.raises(UnknownName, match="reverse"):
        InterchangeConfig("revers")
    with pytest.raises(WrongUse, match="width 50"):
        InterchangeConfig("xor", width=50)
    with pytest.raises(WrongUse, match="2 layers of 4 heads"):
        InterchangeConfig("sort").alignment.at  # noqa: B018
    with pytest.raises(UnknownName, match="two_back"):
        held("two_bakc")
    with pytest.raises(FormatError, match="trained induction heads"):
        loaded(SHIPPED.parents[1] / "algorithmic" / "shipped" / "induction")
