"""What tokens are called: from ids to texts that tell them apart, and back."""

import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from microtome.core.errors import NotFound, WrongUse
from microtome.model.anatomy import Anatomy
from microtome.model.inputs import Batch
from microtome.model.rows import text_ids

if TYPE_CHECKING:
    from microtome.model.model import Model

NO_TEXT = "\ufffd"
"""What tokenizers give for bytes that are no text by themselves."""
ONE_BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")
ESCAPED = range(0xDC80, 0xDD00)
"""Where Python puts bytes that are no UTF-8: 0xDC00 + the byte."""


def token_text(model: "Model", token: int) -> str:
    """A token's text; its bytes where they are no text (`<E4>`), or its id where the model has no tokenizer."""
    return f"<{token}>" if model.tokenizer is None else readable(model.tokenizer, token)


def readable(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    """The text of a token. Bytes of characters that go over several tokens are written `<E4>`."""
    text = str(tokenizer.decode([token]))
    if NO_TEXT not in text:
        return text
    piece = str(tokenizer.convert_ids_to_tokens(token))
    if one := ONE_BYTE.fullmatch(piece):
        return f"<{one[1].upper()}>"
    known = _bytes()
    if not set(piece) <= known.keys():
        return text
    decoded = bytes(known[letter] for letter in piece).decode("utf-8", "surrogateescape")
    return "".join(f"<{ord(one) - 0xDC00:02X}>" if ord(one) in ESCAPED else one for one in decoded)


@lru_cache(maxsize=1)
def _bytes() -> dict[str, int]:
    """The letters that byte-level tokenizers write bytes with."""
    return {letter: byte for byte, letter in bytes_to_unicode().items()}


def one_row(model: "Model", inputs: Any, what: str) -> Batch:
    """A batch of one row.

    Raises:
        WrongUse: there are several.
    """
    batch = model.batch(inputs)
    if len(batch.lengths) != 1:
        raise WrongUse(what, found=f"{len(batch.lengths)} rows", do="give one prompt, or use model.run")
    return batch


def token_id(model: "Model", item: str | int) -> int:
    """The id of one token, named by its text or its id.

    Raises:
        NotFound: the text is not one token; the message shows those that it is.
        WrongUse: an id that the model does not have, or a text where it has no tokenizer.
    """
    if isinstance(item, int):
        network = model.network
        vocabulary = network.sizes.v if isinstance(network, Anatomy) else network.vocabulary or sys.maxsize
        if not 0 <= item < vocabulary:
            raise WrongUse(
                f"find the token id {item}",
                found=f"a vocabulary of {vocabulary}",
                do=f"give an id from 0 to {vocabulary - 1}",
            )
        return item
    if model.tokenizer is None:
        raise WrongUse(f"find the token {item!r}", found="a model without a tokenizer", do="give token ids")
    ids = text_ids(item, model.tokenizer, special=False)
    if len(ids) != 1:
        shown = " + ".join(repr(token_text(model, one)) for one in ids) or "nothing"
        hint = "; words inside a text begin with a space" if not item.startswith(" ") else ""
        raise NotFound(
            f"find the token {item!r}",
            found=f"the tokenizer makes {len(ids)} tokens of it: {shown}",
            do=f"name one token{hint}",
        )
    return ids[0]
