"""Text sampled from a model: what it says when nothing is asked of it."""

import numpy as np

from microtome.core import fingerprint
from microtome.core.errors import WrongUse
from microtome.core.progress import track
from microtome.data.corpus import Corpus
from microtome.model.model import Model

AT_ONCE = 16  # rows in a batch; another number gives other texts, since each batch is drawn together


def sampled(model: Model, n: int, seed: int = 0, *, prompts: tuple[str, ...] = (), tokens: int = 128) -> Corpus:
    """A corpus of `n` texts that the model wrote, drawn as `model.generate(…, sample=True)` draws.

    Args:
        model: with a tokenizer.
        n: how many texts.
        seed: of the draws.
        prompts: what the texts begin with, in turn; without any, each begins with the token that the tokenizer
            begins texts with.
        tokens: new tokens of each text at most.

    Raises:
        WrongUse: no text asked for, no tokenizer, or no prompt where the tokenizer begins with nothing.
    """
    if n < 1:
        raise WrongUse("sample texts", found=f"n={n}", do="ask for one or more")
    begin = None if model.tokenizer is None else model.tokenizer.bos_token_id
    if not prompts and not isinstance(begin, int):
        raise WrongUse("sample texts", found="a tokenizer without a first token", do="give prompts=(…)")
    begins = [prompts[i % len(prompts)] if prompts else [begin] for i in range(n)]
    texts: list[str] = []
    for at in track(range(0, n, AT_ONCE), f"sampling from {model.name}"):
        rows = begins[at : at + AT_ONCE]
        new = model.generate(rows, max_new_tokens=tokens, sample=True, seed=_seed(seed, at))
        texts += [(row if isinstance(row, str) else "") + text for row, text in zip(rows, new, strict=True)]
    held = tuple(texts)
    source = f"{n} texts of {tokens} tokens sampled from {model.name} ({model.fingerprint}), seed {seed}"
    return Corpus("sampled", lambda: iter(held), fingerprint.of_value(held), "made by the model", source)


def _seed(seed: int, at: int) -> int:
    return int(np.random.SeedSequence([seed, at]).generate_state(1)[0])
