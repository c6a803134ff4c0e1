"""Generation under edits, with transformers' own `generate` and its key/value cache."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.model.session import Resolved, Session

if TYPE_CHECKING:
    from microtome.model.model import Model


def generate(
    model: "Model",
    edits: tuple[Resolved, ...],
    inputs: Any,
    max_new_tokens: int,
    *,
    sample: bool,
    seed: int,
) -> list[str]:
    """New text of each row. See `Model.generate`."""
    if model.tokenizer is None:
        raise WrongUse("generate text", found="a model without a tokenizer", do="open it with its tokenizer")
    ids = generated_ids(model, edits, inputs, max_new_tokens, sample=sample, seed=seed)
    return model.tokenizer.batch_decode(ids, skip_special_tokens=True)


def generated_ids(
    model: "Model",
    edits: tuple[Resolved, ...],
    inputs: Any,
    max_new_tokens: int,
    *,
    sample: bool = False,
    seed: int = 0,
) -> Tensor:
    """New ids of each row, `[b, new]`, the end repeated (or padding) where a row ended early."""
    if max_new_tokens < 1:
        raise WrongUse("generate", found=f"max_new_tokens={max_new_tokens}", do="ask for at least one token")
    batch = model.batch(inputs, padding="left")
    session = Session(model.network, batch, (), edits)
    options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": sample, "use_cache": True}
    if not sample:
        options |= {"temperature": None, "top_p": None, "top_k": None}
    with torch.no_grad(), torch.random.fork_rng(enabled=sample), session.watching():
        if sample:
            torch.manual_seed(seed)
        out = model.module.generate(  # pyright: ignore[reportCallIssue]
            batch.ids, attention_mask=batch.mask.long(), pad_token_id=_after_the_end(model), **options
        )
    session.check()
    return out[:, batch.ids.shape[1] :]


def _after_the_end(model: "Model") -> int:
    """What fills a row that has ended: the tokenizer's padding, else the end again. Without an end, no row has one."""
    if model.tokenizer is not None and isinstance(model.tokenizer.pad_token_id, int):
        return model.tokenizer.pad_token_id
    settings: Any = model.module.generation_config
    ends = settings.eos_token_id
    return (ends[0] if isinstance(ends, list) else ends) or 0
