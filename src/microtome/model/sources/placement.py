"""In which numbers and on which device a model is opened."""

import os

import torch

from microtome.core.errors import WrongUse, nearest

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


def dtype_of(asked: torch.dtype | str) -> torch.dtype:
    """A dtype by itself or by name.

    Raises:
        WrongUse: a name or a dtype that no model is opened in.
    """
    if isinstance(asked, torch.dtype):
        asked = str(asked).removeprefix("torch.")
    if asked not in DTYPES:
        raise WrongUse(f"open a model as {asked!r}", found=nearest(asked, DTYPES), do="choose one of these dtypes")
    return DTYPES[asked]


def device_of(asked: torch.device | str | None) -> torch.device:
    """A device by itself or by name; None gives the best that this machine has.

    Raises:
        WrongUse: torch knows no such device, or this machine has none.
    """
    if asked is None:
        return _best()
    try:
        device = torch.device(asked)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise WrongUse(
            f"open a model on {str(asked)!r}",
            found=f"torch cannot use that device here ({str(error).splitlines()[0]})",
            do=f"leave `device` out; the best device here is {str(_best())!r}",
        ) from error
    return device


def _best() -> torch.device:
    if torch.cuda.is_available():
        own = os.environ.get("LOCAL_RANK")  # torchrun's: one of several processes, which take a GPU each
        return torch.device("cuda") if own is None else torch.device("cuda", int(own))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
