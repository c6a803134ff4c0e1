"""What no source may give: networks that the rest of microtome cannot treat exactly, or that are not whole."""

import logging
from typing import Any

from torch import nn
from transformers import PretrainedConfig

from microtome.core.errors import FormatError, NotSupported

NOTICES = logging.getLogger(__name__)


def refuse_unsupported(config: PretrainedConfig, what: str) -> None:
    """Passes networks with plain weights and no encoder.

    Raises:
        NotSupported: quantised weights, or an encoder with a decoder.
    """
    fields = config.to_dict()
    if quantisation := fields.get("quantization_config"):
        method = quantisation.get("quant_method", "unknown") if isinstance(quantisation, dict) else "unknown"
        raise NotSupported(
            what,
            found=f"its weights are quantised ({method})",
            do="give the unquantised model, or a .gguf file, which is dequantised on opening",
        )
    if fields.get("is_encoder_decoder"):
        raise NotSupported(
            what,
            found=f"{config.model_type!r} is an encoder with a decoder",
            do="give a decoder-only language model",
        )


def refuse_quantised(module: nn.Module, what: str) -> None:
    """Passes networks whose weights are numbers of a floating point.

    Raises:
        NotSupported: a part keeps its weights packed, or as whole numbers.
    """
    for path, part in module.named_modules():
        packed = type(part).__module__.startswith(("torch.ao.nn.quantized", "torch.nn.quantized"))
        whole = [one for one in part.parameters(recurse=False) if not one.is_floating_point()]
        if packed or whole:
            raise NotSupported(
                what,
                found=f"its weights are quantised ({path} is a {type(part).__name__})",
                do="give the unquantised model",
            )


def refuse_incomplete(loading: dict[str, Any], what: str) -> None:
    """Passes a network whose every weight came from the files.

    transformers fills what the files lack with random numbers and goes on; we do not.

    Args:
        loading: what `from_pretrained(…, output_loading_info=True)` says.
        what: for messages.

    Raises:
        FormatError: weights are absent, or have another shape.
    """
    if lacking := sorted(loading["missing_keys"]):
        raise FormatError(
            what,
            found=f"the files lack {len(lacking)} weights of the network, such as {lacking[0]}",
            do="give the whole model; an encoder or a headless model is no language model",
        )
    if mismatched := sorted(str(entry[0]) for entry in loading["mismatched_keys"]):
        raise FormatError(
            what,
            found=f"{len(mismatched)} weights have another shape than config.json says, such as {mismatched[0]}",
            do="get config.json and the weights from the same place",
        )
    if unused := sorted(loading["unexpected_keys"]):
        NOTICES.warning(
            "microtome: %s: its files hold %d weights that the network has no place for, such as %s",
            what,
            len(unused),
            unused[0],
        )


def first_line(error: BaseException) -> str:
    """What another library complained of, short enough for one line of ours."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
