"""A tiny Llama with a tokenizer, and texts for it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from made_texts import made_texts

from tiny_llama import tiny_folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model") / "tiny-llama")


@pytest.fixture(scope="session")
def texts() -> tuple[str, ...]:
    return made_texts()


@pytest.fixture
def store_of(llama, texts, tmp_path) -> Callable:
    """Harvests the texts into a folder of its own."""
    from microtome.activations.config import HarvestConfig
    from microtome.activations.harvest import harvest

    def make(sites=("resid.1", "mlp.neurons.0"), tokens=None, name="store", **settings):
        config = HarvestConfig(**{"context": 24, "batch_rows": 4, "shard_bytes": 40_000, **settings})
        return harvest(llama, texts, list(sites), tokens=tokens, out=tmp_path / name, config=config)

    return make
