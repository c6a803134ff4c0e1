"""A module and its tokenizer that are in memory already: checked, and used as they are."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from microtome.core.errors import NotSupported, WrongUse
from microtome.model.sources.placement import device_of, dtype_of
from microtome.model.sources.refusals import refuse_quantised, refuse_unsupported

WHAT = "open a module from memory"


def from_memory(
    pair: tuple[Any, ...], *, dtype: torch.dtype | str | None, device: torch.device | str | None
) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """Passes `(module, tokenizer)` through, changing neither.

    Raises:
        WrongUse: not such a pair, a module in training mode, or another dtype or device than it has.
        NotSupported: quantised or encoder-decoder.
    """
    if len(pair) != 2 or not isinstance(pair[0], nn.Module) or not isinstance(pair[1], PreTrainedTokenizerBase):
        raise WrongUse(
            WHAT,
            found=f"({', '.join(type(one).__name__ for one in pair)})",
            do="give (module, tokenizer), the tokenizer being one of transformers'",
        )
    module, tokenizer = pair
    if isinstance(module, PreTrainedModel):
        refuse_unsupported(module.config, WHAT)
    refuse_quantised(module, WHAT)
    if any(part.training for part in module.modules()):
        raise WrongUse(
            WHAT, found="it is in training mode, where dropout is live", do="call .eval() on the module first"
        )
    _check_place(module, dtype, device)
    return module, tokenizer


def _check_place(module: nn.Module, dtype: torch.dtype | str | None, device: torch.device | str | None) -> None:
    parameters = list(module.parameters())
    if any(parameter.is_meta for parameter in parameters):
        raise NotSupported(WHAT, found="it has no weights (device 'meta')", do="load its weights first")
    dtypes = {parameter.dtype for parameter in parameters if parameter.is_floating_point()}
    if dtype is not None and dtypes != {dtype_of(dtype)}:
        shown = ", ".join(sorted(str(one).removeprefix("torch.") for one in dtypes))
        raise WrongUse(
            WHAT,
            found=f"its weights are {shown}, and dtype={str(dtype).removeprefix('torch.')} was asked",
            do="convert the module with .to(…) first, or leave `dtype` out",
        )
    if device is None:
        return
    asked = device_of(device)
    if any(p.device.type != asked.type or asked.index not in (None, p.device.index) for p in parameters):
        shown = ", ".join(sorted({str(parameter.device) for parameter in parameters}))
        raise WrongUse(
            WHAT,
            found=f"it is on {shown}, and device={str(device)!r} was asked",
            do="move the module with .to(…) first, or leave `device` out",
        )
