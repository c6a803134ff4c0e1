"""Which token comes next in generation, and what a model's own settings would change about that."""

import warnings
from dataclasses import dataclass
from typing import Any

from transformers import GenerationConfig, PreTrainedModel

from microtome.core.config import Config
from microtome.core.errors import NotSupported, WrongUse

ENDS = frozenset({"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "do_sample"})
"""Kept as the model has them: where a text begins and ends. (`do_sample` is ours to say.)"""
PASSES: dict[str, Any] = {
    "use_cache": True,
    **dict.fromkeys(
        (
            "cache_implementation", "cache_config", "max_cache_len", "prefill_chunk_size", "low_memory",
            "compile_config", "disable_compile", "continuous_batching_config",
            "prompt_lookup_num_tokens", "max_matching_ngram_size", "use_mtp", "is_assistant", "speculation_type",
            "assistant_early_exit", "assistant_ensemble_weight",
            "max_length", "max_new_tokens",
            "output_attentions", "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate",
        )
    ),
}  # fmt: skip
"""How passes are made: one for the prompt, then one a token, on a cache that grows. Edits rely on it, so these are
always set so. They change no token: what they save is time or memory."""
UNUSED = frozenset(
    {
        "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold",
        "assistant_lookbehind", "target_lookbehind", "length_penalty", "early_stopping", "renormalize_logits",
        "transformers_version",
    }
)  # fmt: skip
"""Of no effect where tokens are taken one by one."""
WITHOUT_EFFECT: dict[str, Any] = {
    "temperature": 1.0, "top_k": 0, "top_p": 1.0, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0,
    "repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0, "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0, "min_length": 0, "num_beams": 1, "num_return_sequences": 1,
    "num_beam_groups": 1, "diversity_penalty": 0.0, "remove_invalid_values": False,
}  # fmt: skip
"""Values at which a setting leaves the model's distribution alone; None for all others."""
OF_DRAWS = frozenset({"temperature", "top_k", "top_p", "top_h", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"})
HONOURED = OF_DRAWS | {
    "repetition_penalty", "no_repeat_ngram_size", "bad_words_ids", "sequence_bias", "suppress_tokens",
    "begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id", "exponential_decay_length_penalty",
    "min_length", "min_new_tokens", "remove_invalid_values", "watermarking_config",
}  # fmt: skip
"""What `own_settings` applies: each of them turns one row's logits into others."""


class GenerationWarning(UserWarning):
    """Settings of a model that its text was generated without."""


@dataclass(frozen=True)
class Decoding(Config):
    """How tokens are taken from the model's logits.

    Attributes:
        max_new_tokens: how many to add at most.
        sample: draw from the distribution instead of taking the best token.
        seed: of the draw.
        own_settings: first change the logits as the model's own `generation_config` says (temperature, top_p,
            repetition_penalty, …). Without it they are left as they are, and a `GenerationWarning` names the
            settings that would have changed them.
    """

    max_new_tokens: int = 20
    sample: bool = False
    seed: int = 0
    own_settings: bool = False

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise WrongUse("generate", found=f"max_new_tokens={self.max_new_tokens}", do="ask for at least one token")


def options(module: PreTrainedModel, decoding: Decoding) -> dict[str, Any]:
    """All that transformers' `generate` is called with beside inputs, so that no setting acts unseen.

    Raises:
        NotSupported: the model's own settings are asked for, and one of them takes tokens otherwise than one by one.
    """
    own = _own(module)
    named = {name: value for name, value in own.items() if decoding.sample or name not in OF_DRAWS}
    shown = ", ".join(f"{name}={value!r}" for name, value in named.items())
    if decoding.own_settings and (others := sorted(set(named) - HONOURED)):
        raise NotSupported(
            "generate with the model's own settings",
            found=f"{', '.join(f'{name}={named[name]!r}' for name in others)} in its generation_config",
            do="leave own_settings out, or take that setting out of `module.generation_config`: tokens are taken one "
            "by one, in one row a prompt",
        )
    if named and not decoding.own_settings:
        warnings.warn(
            f"the text is generated without the model's own settings {shown}; own_settings=True applies them",
            GenerationWarning,
            stacklevel=4,  # whoever called `Model.generate`
        )
    kept = named if decoding.own_settings else {}
    unasked = {} if decoding.sample else dict.fromkeys(OF_DRAWS)  # transformers complains of them
    neutral = {name: WITHOUT_EFFECT.get(name) for name in (*own, *WITHOUT_EFFECT)}
    return {
        **PASSES,
        **neutral,
        **unasked,
        **kept,
        "do_sample": decoding.sample,
        "max_new_tokens": decoding.max_new_tokens,
    }


def _own(module: PreTrainedModel) -> dict[str, Any]:
    """The model's own settings that have an effect on which token is taken."""
    settings = module.generation_config
    assert isinstance(settings, GenerationConfig), "a model that generates has settings"
    aside = ENDS | UNUSED | PASSES.keys()
    return {
        name: value
        for name, value in settings.to_dict().items()
        if not name.startswith("_") and name not in aside and value not in (None, WITHOUT_EFFECT.get(name))
    }
