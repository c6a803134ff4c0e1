"""The parts of a GPT-2 that transformers does not declare."""

from typing import Any

from transformers import GPT2LMHeadModel


def blocks(module: GPT2LMHeadModel) -> Any:
    """Its layers, from the first."""
    return module.transformer.h
