"""Which model this is: a digest of what was loaded, kept so that a second opening need not read it all."""

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from microtome.core import fingerprint as digests
from microtome.model.sources.cache import recall, remember
from microtome.model.sources.load import Loaded

LIBRARIES = ("microtome", "torch", "transformers", "tokenizers", "safetensors")
# Of a config: what depends on where and how it was opened, not on which function the network computes.
VOLATILE = frozenset(
    {
        "_name_or_path",
        "_model_name_or_path",
        "_attn_implementation",
        "_attn_implementation_internal",
        "attn_implementation",
    }
    | {"transformers_version", "dtype", "torch_dtype", "architectures", "use_cache"}
    | {"output_attentions", "output_hidden_states", "return_dict"}
)


def fingerprint(loaded: Loaded) -> str:
    """Digest of the weights as loaded, the config and the tokenizer: 16 hexadecimal digits.

    For a model from files it is remembered, so call it on a model that is as it was loaded. Two models
    have the same one if and only if weights (dtype included), settings and tokenization agree.
    """
    key = opening_key(loaded)
    if key is not None and isinstance(kept := recall(key, "fingerprint"), str):
        return kept
    found = digests.of_value(
        {
            "weights": digests.of_tensors(_weights(loaded.module)),
            "config": _settings(loaded.module),
            "tokenizer": _tokenization(loaded.tokenizer),
        }
    )
    if key is not None:
        remember(key, "fingerprint", found)
    return found


def opening_key(loaded: Loaded, dtype: torch.dtype | None = None, device: torch.device | None = None) -> str | None:
    """Under which `remember` and `recall` keep what was found out about this opening of these files.

    It changes with path, size and time of every file in the folder, with the libraries' versions, and
    with dtype, device and attention.

    Args:
        loaded: the model.
        dtype: None takes what the module has.
        device: likewise.

    Returns:
        None for a module from memory, of which nothing can be known without reading it.
    """
    if loaded.folder is None:
        return None
    first = next(loaded.module.parameters())
    device = device or first.device
    files = [
        (str(path), path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(loaded.folder.resolve().iterdir())
        if path.is_file()
    ]
    return digests.of_value(
        {
            "files": files,
            "libraries": {name: _version(name) for name in LIBRARIES},
            "dtype": str(dtype or first.dtype),
            "device": _hardware(device),
            "attention": _attention(loaded.module),
        }
    )


def _hardware(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _attention(module: torch.nn.Module) -> str:
    return str(module.config._attn_implementation) if isinstance(module, PreTrainedModel) else "its own"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # running from a source tree that was never installed
        return "not installed"


def _weights(module: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Each tensor once, by name: tied weights are one tensor, buffers count where they are saved."""
    named: dict[str, torch.Tensor] = dict(module.named_parameters())
    saved = module.state_dict().keys()
    named |= {name: buffer for name, buffer in module.named_buffers() if name in saved}
    return sorted(named.items())


def _settings(module: torch.nn.Module) -> dict[str, Any]:
    """What differs from the defaults of the config's class, so that a new default key changes nothing."""
    if not isinstance(module, PreTrainedModel):
        return {"class": type(module).__qualname__}
    fields = _steady(json.loads(module.config.to_json_string(use_diff=True)))
    return {"class": type(module).__qualname__, **fields}


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _steady(one) for name, one in value.items() if name not in VOLATILE}
    return [_steady(one) for one in value] if isinstance(value, list) else value


def _tokenization(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    if isinstance(tokenizer, PreTrainedTokenizerFast):
        how: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
        del how["padding"], how["truncation"]  # set anew by every call
    else:
        how = {"class": type(tokenizer).__qualname__, "vocabulary": tokenizer.get_vocab()}
    return {"how": how, "special": tokenizer.special_tokens_map, "chat": tokenizer.chat_template}
