"""transformers kept from writing to the terminal; what it would have warned of we check ourselves."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers import modeling_gguf_pytorch_utils
from transformers.utils import logging

from microtome.core.progress import track


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no log lines below error level inside; as it was before outside."""
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def gguf_tensors_reported() -> Iterator[None]:
    """transformers' GGUF reader draws its own bar, past its own switches; here it reports to our progress."""
    names: dict[str, Any] = modeling_gguf_pytorch_utils.__dict__
    if (bar := names.get("tqdm")) is None:  # a version whose reader draws none
        yield
        return
    names["tqdm"] = _tracked
    try:
        yield
    finally:
        names["tqdm"] = bar


def _tracked(items: Iterable[Any], desc: str = "") -> Iterator[Any]:
    return track(items, "dequantising tensors")
