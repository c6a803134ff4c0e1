"""A local Hugging Face folder becomes a module and a tokenizer, or one error that says what it lacks."""

import json
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from microtome.core.errors import FormatError, ModelNotFound, NotSupported, WrongUse
from microtome.model.sources.quiet import quiet
from microtome.model.sources.refusals import first_line, refuse_incomplete, refuse_unsupported

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
VOCABULARIES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)


def read_folder(
    folder: Path, *, dtype: torch.dtype | None, device: torch.device, attention: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Reads weights and tokenizer, checking that every weight of the network came from the files.

    Args:
        folder: with `config.json`, weights and tokenizer files.
        dtype: of the weights; None leaves them as they were saved.
        device: where they go.
        attention: transformers' `attn_implementation`.

    Raises:
        ModelNotFound: no config, no weights or no tokenizer in it.
        FormatError: a file is damaged, or the weights do not fit the config.
        NotSupported: quantised, encoder-decoder, code of its own, or unknown to transformers.
        WrongUse: transformers does not know the attention, or this model cannot have it.
    """
    what = f"open the model folder {str(folder)!r}"
    config = _config(folder, what)
    refuse_unsupported(config, what)
    _check_weights(folder, what)
    tokenizer = _tokenizer(folder, what)
    module = _module(folder, what, config=config, dtype=dtype or "auto", attention=attention)
    module.to(device)  # pyright: ignore[reportArgumentType] - transformers wraps `to` with a vague signature
    return module.eval().requires_grad_(False), tokenizer


def _config(folder: Path, what: str) -> PretrainedConfig:
    if not (folder / "config.json").is_file():
        inside = sorted(path.name for path in folder.iterdir())
        ggufs = [name for name in inside if name.endswith(".gguf")]
        raise ModelNotFound(
            what,
            found=f"no config.json in it; it holds {', '.join(map(repr, inside[:8])) or 'nothing'}",
            do=f"give the file itself: {str(folder / ggufs[0])!r}" if ggufs else "give the folder that has one",
        )
    try:
        with quiet():
            return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except OSError as error:
        raise _damaged(what, f"config.json is damaged ({first_line(error)})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotSupported(
            what,
            found=f"transformers does not know what config.json describes ({first_line(error)})",
            do="give a model that transformers supports without code of its own",
        ) from error


def _check_weights(folder: Path, what: str) -> None:
    """Finds the weight files that transformers will read, and reads the headers of those it maps."""
    chosen = next((name for name in WEIGHTS if (folder / name).is_file()), None)
    if chosen is None:
        raise ModelNotFound(
            what, found="a config.json without weights", do=f"put {' or '.join(WEIGHTS[::2])} beside it"
        )
    for name in _shards(folder / chosen, what):
        if not (folder / name).is_file():
            raise _damaged(what, f"{chosen} names {name}, which is absent")
        if not name.endswith(".safetensors"):
            continue
        try:
            with safe_open(folder / name, framework="pt"):
                pass
        except SafetensorError as error:
            raise _damaged(what, f"{name} is cut short or damaged ({first_line(error)})") from error


def _shards(path: Path, what: str) -> list[str]:
    if path.suffix != ".json":
        return [path.name]
    try:
        return sorted({str(name) for name in json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(what, f"{path.name} is damaged") from error


def _tokenizer(folder: Path, what: str) -> PreTrainedTokenizerBase:
    # Asked first: for some families transformers makes an empty tokenizer up where there is none.
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise ModelNotFound(
            what,
            found="no tokenizer in it",
            do="put the tokenizer's files beside config.json: `tokenizer.save_pretrained(folder)`",
        )
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise _damaged(what, f"its tokenizer cannot be read ({first_line(error)})") from error


def _module(
    folder: Path, what: str, *, config: PretrainedConfig, dtype: torch.dtype | str, attention: str
) -> PreTrainedModel:
    try:
        with quiet():
            # With loading info it is a pair, which its annotation does not say.
            module, loading = AutoModelForCausalLM.from_pretrained(  # pyright: ignore[reportGeneralTypeIssues]
                folder,
                config=config,
                dtype=dtype,
                attn_implementation=attention,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise _damaged(what, f"its weights cannot be read ({first_line(error)})") from error
    except (ValueError, ImportError) as error:
        if "attn_implementation" in str(error) or isinstance(error, ImportError):
            raise WrongUse(
                f"open a model with attention={attention!r}",
                found=first_line(error),
                do="use 'eager' or 'sdpa'",
            ) from error
        raise NotSupported(
            what,
            found=f"transformers has no causal language model of the kind {config.model_type!r}",
            do="give a decoder-only language model",
        ) from error
    refuse_incomplete(loading, what)
    return module


def _damaged(what: str, found: str) -> FormatError:
    return FormatError(what, found=found, do="get the folder again")
