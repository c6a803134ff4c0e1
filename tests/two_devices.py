"""A CPU that stands for two devices: the model's, which has no float64, as on a Mac, and the CPU itself.

What was moved by `Tensor.cpu` is followed from one operation to the next. An operation that makes float64 of
what was not moved fails, and so does one that mixes both.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class TwoDevices(TorchDispatchMode):
    """Everything inside runs on the first device until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        super().__init__()
        self._moved: dict[int, Tensor] = {}  # by where they lie; held, so that no other tensor comes to lie there

        def cpu(x: Tensor) -> Tensor:
            made = x.clone()
            self._moved[made.untyped_storage().data_ptr()] = made
            return made

        monkeypatch.setattr(Tensor, "cpu", cpu)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor) and one.is_floating_point()]
        made = func(*args, **(kwargs or {}))
        moved = [one for one in given if one.untyped_storage().data_ptr() in self._moved]
        if moved and len(moved) < len([one for one in given if one.ndim]):
            raise RuntimeError(f"{func} has tensors of two devices")
        for one in tree_leaves(made):
            if isinstance(one, Tensor) and moved:
                self._moved[one.untyped_storage().data_ptr()] = one
            elif isinstance(one, Tensor) and one.dtype == torch.float64:
                raise TypeError(f"{func} makes float64, which this device has not")
        return made
