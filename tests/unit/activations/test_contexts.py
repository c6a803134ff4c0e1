"""Documents become contexts: nothing lost, nothing twice, the same from every cursor on."""

import numpy as np
import pytest
from tokenizers.processors import TemplateProcessing

from microtome.activations.config import ReadingConfig
from microtome.activations.contexts import Contexts, Cursor
from microtome.core.errors import WrongUse
from microtome.data.corpus import corpus_of
from tiny_llama import tiny_tokenizer


def contexts(texts, **settings) -> Contexts:
    return Contexts(corpus_of(texts), tiny_tokenizer(), ReadingConfig(**{"context": 24, "batch_rows": 4, **settings}))


def told(made: Contexts, start=None, **options) -> list[tuple[int, int, int]]:
    batches = [batch for _, batch in made.batches(start or Cursor(), **options)]
    return [row for batch in batches for row in zip(*map(batch.of_kept, ("document", "position", "ids")), strict=True)]


@pytest.mark.parametrize("pack", [False, True])
def test_every_token_is_kept_once_at_its_place(texts, pack):
    tokenizer = tiny_tokenizer()
    found = told(contexts(texts, skip_special=False, skip_first=0, pack=pack))
    ends = (
        {(i, len(ids), tokenizer.eos_token_id) for i, ids in enumerate(map(tokenizer.encode, texts))} if pack else set()
    )
    expected = {(i, j, token) for i, text in enumerate(texts) for j, token in enumerate(tokenizer.encode(text))} | ends
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_special_and_first_tokens_are_left_out_and_counted(texts):
    made = contexts(texts, skip_first=2)
    tokenizer = tiny_tokenizer()
    batches = [batch for _, batch in made.batches(Cursor())]
    for batch in batches:
        assert 0 not in batch.of_kept("ids")
        assert not batch.kept[:, :2].any()
    kept = sum(int(batch.kept.sum()) for batch in batches)
    left_out = sum(sum(batch.left_out.values()) for batch in batches)
    run = sum(len(piece) for batch in batches for piece in batch.pieces)
    assert kept + left_out == run
    assert kept == sum(token != 0 and j % 24 >= 2 for text in texts for j, token in enumerate(tokenizer.encode(text)))


def test_a_later_piece_begins_with_what_the_tokenizer_puts_before_a_text():
    tokenizer = tiny_tokenizer()

    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|end|> $A", special_tokens=[("<|end|>", 0)]
    )
    made = Contexts(corpus_of(["x" * 30]), tokenizer, ReadingConfig(context=12, skip_special=False, skip_first=0))
    pieces = [piece for _, batch in made.batches(Cursor()) for piece in batch.pieces]
    assert sorted(len(piece) for piece in pieces) == [9, 12, 12]
    assert all(piece.ids[0] == 0 for piece in pieces)
    found = sorted(int(one) for piece in pieces for one in piece.position[piece.kept])
    assert found == list(range(31))  # the token before the text once, where it stands in it


def test_little_is_padded(texts):
    batches = [batch for _, batch in contexts(texts * 20, batch_rows=8).batches(Cursor())]
    run = sum(len(piece) for batch in batches for piece in batch.pieces)
    assert run > 0.9 * sum(batch.kept.size for batch in batches)


@pytest.mark.parametrize("pack", [False, True])
def test_the_same_batches_come_from_every_cursor_on(texts, monkeypatch, pack):
    monkeypatch.setattr("microtome.activations.contexts.BATCHES_IN_WINDOW", 2)
    made = contexts(texts, pack=pack)
    whole = list(made.batches(Cursor()))
    assert len({cursor.document for cursor, _ in whole}) > 3
    for at in (1, len(whole) // 2, len(whole) - 1):
        rest = list(made.batches(whole[at][0]))
        assert [cursor for cursor, _ in rest] == [cursor for cursor, _ in whole[at:]]
        for (_, one), (_, other) in zip(rest, whole[at:], strict=True):
            assert np.array_equal(one.of_kept("ids"), other.of_kept("ids"))


def test_endless_texts_begin_anew_in_another_order(texts):
    made, once = contexts(texts), told(contexts(texts))
    batches = made.batches(Cursor(), endless=True)
    found: list[tuple[int, int, int]] = []
    while len(found) < 2 * len(once):
        _, batch = next(batches)
        found += zip(*map(batch.of_kept, ("document", "position", "ids")), strict=True)
    assert found[: len(once)] == once
    assert sorted(found[len(once) :]) == sorted(once)
    assert found[len(once) :] != once


@pytest.mark.parametrize("hopeless", [(), ("", " \n"), ("a", "b"), ("<|end|>" * 9,)])
def test_texts_that_give_nothing_are_refused(hopeless):
    with pytest.raises(WrongUse) as error:
        list(contexts(hopeless).batches(Cursor(), endless=True))
    assert "no token that is kept" in error.value.found


@pytest.mark.parametrize(
    "settings", [{"context": 1}, {"batch_rows": 0}, {"skip_first": 24}, {"norm_limit": 1.0}, {"seed": -1}]
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(WrongUse):
        ReadingConfig(**{"context": 24, **settings})


def test_a_batch_holds_pieces_of_several_documents():
    """Also where one document could fill it."""
    made = contexts(["the cat sat " * 200, " a mat the end" * 200, "x y " * 300])
    full = [batch for _, batch in made.batches(Cursor()) if len(batch.pieces) == 4]
    assert len(full) > 20
    assert sum(len({*batch.of_kept("document").tolist()}) > 1 for batch in full) > 0.9 * len(full)
