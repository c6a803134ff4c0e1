"""Generation under edits, with transformers' own `generate` and its key/value cache."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from microtome.core.counting import counted
from microtome.core.errors import WrongUse
from microtome.core.sites import Site, Sites, site
from microtome.model.certificate import CACHE, relied_on
from microtome.model.decoding import Decoding, options
from microtome.model.edits import Edits
from microtome.model.inputs import Batch
from microtome.model.resolving import resolved
from microtome.model.run import Captured, aligned
from microtome.model.session import Session

if TYPE_CHECKING:
    from microtome.model.model import Model


class Generated(Captured):
    """What a model went on with, and what was captured on the way: `found["resid.3"]` is `[b, p, d]`.

    Positions are those of the prompt and of the new tokens that were read again, which is all but the last; rows of
    different length begin at position 0 and end in zeros.

    Attributes:
        ids: new ids of each row, `[b, new]`; where a row ended early, its end repeated (or padding).
        batch: the prompts.
    """

    def __init__(
        self,
        ids: Int[Tensor, "b new"],
        batch: Batch,
        tensors: dict[str, Tensor],
        sites: Sites,
        tokenizer: PreTrainedTokenizerBase | None,
    ):
        super().__init__(tensors, sites, "site")
        self.ids, self.batch, self._tokenizer = ids, batch, tokenizer

    @cached_property
    def texts(self) -> list[str]:
        """The new text of each row.

        Raises:
            WrongUse: the model has no tokenizer.
        """
        if self._tokenizer is None:
            raise WrongUse("generate text", found="a model without a tokenizer", do="open it with its tokenizer")
        return self._tokenizer.batch_decode(self.ids, skip_special_tokens=True)

    def __repr__(self) -> str:
        return f"Generated({counted(len(self.ids), 'row')} of {self.ids.shape[1]} new tokens, {len(self)} sites)"


def generate(
    model: "Model",
    inputs: Any,
    decoding: Decoding | None = None,
    *,
    capture: Sequence[str] = (),
    edits: Edits = (),
) -> Generated:
    """Continues each row under edits, one token at a time, and captures sites at every token that is read.

    Args:
        model: a causal language model.
        inputs: as for `Model.run`; rows of different length are padded on the left.
        decoding: how tokens are taken; the 20 best by default.
        capture: sites or patterns without an axis of keys (not scores or patterns of attention).
        edits: one or several, after those of `model.edit`.

    Raises:
        WrongUse: more tokens than the model has positions for, or a site that grows with each token.
        NotSupported: a network that does not generate.
    """
    decoding = decoding or Decoding()
    module = model.module
    if not (isinstance(module, PreTrainedModel) and model.network.generates):
        raise model.network.lacking(f"generate with {model.name!r}", "no way to generate")
    relied_on(model.certificate, CACHE, "generate")
    batch = model.batch(inputs, padding="left")
    _check_room(batch, decoding.max_new_tokens, model.network.longest)
    wanted = model.network.select(capture)
    _check_growing(wanted)
    session = Session(model.network, batch, wanted, (*model.in_force, *resolved(model, edits)))
    settings = {**options(module, decoding), "pad_token_id": _after_the_end(module, model.tokenizer)}
    with torch.random.fork_rng(enabled=decoding.sample):
        if decoding.sample:
            torch.manual_seed(decoding.seed)
        ids, pieces = _continued(module, session, wanted, settings)
    session.check()
    read = Batch(
        torch.cat([batch.ids, ids[:, :-1]], 1), tuple(length + ids.shape[1] - 1 for length in batch.lengths), "left"
    )
    tensors = {str(one): aligned(one, torch.cat(pieces[one], one.kind.position_axis), read) for one in wanted}
    return Generated(ids, batch, tensors, model.network.table, model.tokenizer)


def _continued(
    module: PreTrainedModel, session: Session, wanted: tuple[Site, ...], settings: dict[str, Any]
) -> tuple[Tensor, dict[Site, list[Tensor]]]:
    """New ids of each row, and what each call computed at the sites wanted."""
    batch = session.batch
    pieces: dict[Site, list[Tensor]] = {one: [] for one in wanted}

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        for one in wanted:
            pieces[one].append(_computed(one, session.captured[one], session.chunk.width))

    if site("logits") in wanted and session.network.takes("logits_to_keep"):
        settings = {**settings, "logits_to_keep": 0}
    with torch.no_grad(), session.watching(), ExitStack() as stack:
        stack.callback(module.register_forward_hook(keep).remove)
        out = module.generate(  # pyright: ignore[reportCallIssue]
            batch.ids, attention_mask=batch.mask.long(), **settings
        )
    return out[:, batch.ids.shape[1] :], pieces


def _computed(where: Site, tensor: Tensor, width: int) -> Tensor:
    """The positions that one call computed; keys and values hold those of earlier calls before them."""
    axis = where.kind.position_axis
    if tensor.ndim <= axis or tensor.shape[axis] < width:
        raise WrongUse(
            f"capture {where} in generation",
            found=f"a tensor of shape {list(tensor.shape)}, while {counted(width, 'position')} of each row is computed",
            do="capture a site that gives [b, p, …]",
        )
    return tensor.narrow(axis, tensor.shape[axis] - width, width)


def _check_growing(wanted: tuple[Site, ...]) -> None:
    over_keys = [str(one) for one in wanted if len(one.kind.position_axes) > 1]
    if over_keys:
        raise WrongUse(
            f"capture {over_keys[0]} in generation",
            found="an axis of keys, which is longer at each token",
            do="generate first, then run the prompt with its new ids: model.run([*ids, *new], capture=[…])",
        )


def _check_room(batch: Batch, new: int, longest: int | None) -> None:
    """All new tokens but the last are read, and need a position that the model was made for."""
    width = batch.ids.shape[1]
    if longest is not None and width + new - 1 > longest:
        raise WrongUse(
            "generate",
            found=f"a prompt of {counted(width, 'token')} and {new:,} new ones",
            do=f"ask for {longest - width + 1} at most: the model was made for {longest:,} positions "
            "(max_position_embeddings)",
        )


def _after_the_end(module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> int:
    """What fills a row that has ended: the tokenizer's padding, else the end again. Without an end, no row has one."""
    if tokenizer is not None and isinstance(tokenizer.pad_token_id, int):
        return tokenizer.pad_token_id
    settings: Any = module.generation_config
    ends = settings.eos_token_id
    return (ends[0] if isinstance(ends, list) else ends) or 0
