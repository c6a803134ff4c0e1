"""Models that many tests share: the real one, and small random ones of every family."""

import os
import signal
from collections.abc import Callable

import pytest
import torch
from hypothesis import settings

from microtome.core.errors import ModelNotFound
from microtome.model.model import Model
from microtome.model.opening import open
from tiny_llama import tiny_folder
from tiny_models import tiny_model


def pytest_configure() -> None:
    """What every test process starts with.

    One thread: small tensors gain nothing from more, and threads that wait slow their neighbours. And Ctrl-C as a
    terminal has it: a shell that starts the tests in the background has interrupts ignored, programs inherit
    inherit that, and those which the tests interrupt would never end. No example has a deadline: how long one takes
    depends on what else runs.
    """
    settings.register_profile("suite", deadline=None)
    settings.load_profile("suite")
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def smollm2() -> Model:
    """SmolLM2 from its package, certified. MICROTOME_REQUIRE_REAL turns its absence into a failure."""
    try:
        return open("smollm2")
    except ModelNotFound as absent:
        if os.environ.get("MICROTOME_REQUIRE_REAL"):
            raise
        pytest.skip(str(absent))


@pytest.fixture(scope="session")
def llama(tmp_path_factory) -> Model:
    """A two-layer random Llama with a tokenizer of bytes."""
    return open(tiny_folder(tmp_path_factory.mktemp("model") / "tiny-llama"), certify=False)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Model]:
    """Makes a small random model: `tiny("gpt2")`, `tiny("llama", torch.float32, seed=1, head_dim=6)`."""
    return tiny_model
