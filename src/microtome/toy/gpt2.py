"""A small GPT-2 of ours with its words, and parts of one that transformers does not declare."""

from dataclasses import dataclass
from typing import Any

from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from microtome.model.model import Model
from microtome.model.opening import open


@dataclass(frozen=True, eq=False)
class SmallNetwork:
    """What every network whose circuit is known has; `open()` opens it.

    Attributes:
        module: in float32.
        tokenizer: of whole words; puts a BOS before every text.
    """

    module: GPT2LMHeadModel
    tokenizer: PreTrainedTokenizerFast

    def open(self) -> Model:
        """The network as a model, without a certificate."""
        return open((self.module, self.tokenizer), certify=False)


def blocks(module: GPT2LMHeadModel) -> Any:
    """Its layers, from the first."""
    return module.transformer.h
