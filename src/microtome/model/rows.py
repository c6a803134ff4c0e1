"""Rows: the token ids of whatever was given, text, chat messages, ids, or what a tokenizer makes of them."""

import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jinja2.exceptions import TemplateError
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from microtome.core.counting import counted
from microtome.core.errors import WrongUse


def rows_of(inputs: Any, tokenizer: PreTrainedTokenizerBase | None) -> list[list[int]]:
    """One row where one input was given, else one for each.

    Raises:
        WrongUse: a kind of input that is none of text, chat messages, token ids, and what tokenizers give.
    """
    if isinstance(inputs, Mapping):
        return _encoded_rows(inputs, tokenizer)
    plain = _plain(inputs)
    items = [plain] if _row(plain, tokenizer) is not None or not isinstance(plain, list) else plain
    rows = [_row(_plain(item), tokenizer) for item in items]
    found = [row for row in rows if row is not None]
    if len(found) < len(items):
        raise WrongUse(
            "run the model",
            found=f"an input of {_kind(plain)}",
            do="give a text, chat messages, token ids, what a tokenizer gives, or a list of texts, chats or ids",
        )
    _check_unpadded([row for row, item in zip(found, items, strict=True) if not isinstance(item, str)], tokenizer)
    return found


def _encoded_rows(encoded: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase | None) -> list[list[int]]:
    """The rows of what a tokenizer gives, without their padding."""
    what = "run the model on what a tokenizer gives"
    if "input_ids" not in encoded:
        keys = ", ".join(map(repr, encoded)) or "nothing"
        raise WrongUse(what, found=f"a mapping that holds {keys}", do="give input_ids, with their attention_mask")
    rows = _nested(encoded["input_ids"])
    if encoded.get("attention_mask") is None:
        _check_unpadded(rows, tokenizer)
        return rows
    masks = _nested(encoded["attention_mask"])
    if [len(row) for row in masks] != [len(row) for row in rows]:
        raise WrongUse(what, found="an attention_mask of another shape than input_ids", do="give both as they came")
    return [_unmasked(row, mask, what) for row, mask in zip(rows, masks, strict=True)]


def _nested(values: Any) -> list[list[int]]:
    """One list a row, also where there is one row that stands alone."""
    plain = _plain(values)
    return [plain] if plain and isinstance(plain[0], int) else plain


def _unmasked(ids: list[int], mask: list[int], what: str) -> list[int]:
    real = [i for i, seen in enumerate(mask) if seen]
    if real and len(real) != real[-1] - real[0] + 1:
        raise WrongUse(what, found="an attention_mask with a hole in it", do="mask the ends of rows alone")
    return [ids[i] for i in real]


def _check_unpadded(rows: list[list[int]], tokenizer: PreTrainedTokenizerBase | None) -> None:
    """Refuses rows that look padded: without a mask, padding would be read as text.

    One token may well be the end or the beginning of a text, where padding is the same token.
    """
    pad = None if tokenizer is None else tokenizer.pad_token_id
    if tokenizer is None or not isinstance(pad, int):
        return
    allowed = 1 if pad in (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id) else 0
    for row in rows:
        run = max(_leading(row, pad), _leading(row[::-1], pad))
        if allowed < run < len(row):
            raise WrongUse(
                "run the model on token ids",
                found=f"{counted(run, 'padding token')} (id {pad}) at an end of a row, and no mask",
                do="give what the tokenizer gives, with its attention_mask, or rows without padding",
            )


def _leading(row: list[int], token: int) -> int:
    return next((i for i, one in enumerate(row) if one != token), len(row))


def _plain(inputs: Any) -> Any:
    """Tensors, arrays and tuples as lists of plain numbers."""
    if isinstance(inputs, Tensor | np.ndarray | np.generic):
        return inputs.tolist()
    return [_plain(one) for one in inputs] if isinstance(inputs, list | tuple | range) else inputs


def _row(one: Any, tokenizer: PreTrainedTokenizerBase | None) -> list[int] | None:
    """The ids of one input; None where it is not one."""
    if isinstance(one, str):
        return text_ids(one, tokenizer)
    if not isinstance(one, list):
        return None
    if all(isinstance(item, int) and not isinstance(item, bool) for item in one):
        return one
    if all(isinstance(item, dict) for item in one):
        return _chat_ids(one, tokenizer)
    return None


def _kind(inputs: Any) -> str:
    if not isinstance(inputs, list):
        return f"type {type(inputs).__name__}"
    return f"a list of {', '.join(sorted({type(item).__name__ for item in inputs}))}"


def text_ids(text: str, tokenizer: PreTrainedTokenizerBase | None, *, special: bool = True) -> list[int]:
    """The ids of a text, with the special tokens that the tokenizer adds, or without.

    Raises:
        WrongUse: the text is no Unicode, or there is no tokenizer.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair, or bytes of a shell that are no UTF-8
        raise WrongUse(
            "make tokens of a text",
            found=f"{reprlib.repr(text)}, whose character {error.start} is no Unicode: {text[error.start]!r}",
            do="replace that character, or give the text as UTF-8",
        ) from None
    return list(_present(tokenizer)(text, add_special_tokens=special)["input_ids"])


def _chat_ids(messages: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase | None) -> list[int]:
    present = _present(tokenizer)
    if present.chat_template is None:
        raise WrongUse(
            "run the model on chat messages",
            found="its tokenizer has no chat template",
            do="give a plain text",
        )
    for message in messages:
        _check_message(message)
    try:
        text = present.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except TemplateError as error:
        raise WrongUse(
            "run the model on chat messages",
            found=f"its chat template refuses them: {error}",
            do=f"change the messages, which have the roles {', '.join(str(one['role']) for one in messages)}, or "
            "give a plain text",
        ) from error
    return text_ids(str(text), present, special=False)


def _check_message(message: Mapping[str, Any]) -> None:
    """Templates read a role and a text, and say little where they do not find them."""
    for key in ("role", "content"):
        value = message.get(key)
        if not isinstance(value, str):
            found = f"a {key} of type {type(value).__name__}" if key in message else f"a message without {key!r}"
            raise WrongUse(
                "run the model on chat messages",
                found=found,
                do='give each message as {"role": "user", "content": "a text"}',
            )


def _present(tokenizer: PreTrainedTokenizerBase | None) -> PreTrainedTokenizerBase:
    if tokenizer is None:
        raise WrongUse("run the model on text", found="it was opened without a tokenizer", do="give token ids instead")
    return tokenizer
