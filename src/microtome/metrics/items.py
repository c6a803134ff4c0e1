"""Sums over tokens kept apart for each item, so that intervals can run over documents and never over tokens."""

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from microtome.core.errors import WrongUse

Items = Int[Tensor, " t"] | None


def doubled(x: Num[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The tensor in float64, without its gradient; on the CPU where the device has no float64."""
    held = x.detach()
    return (held.cpu() if held.device.type == "mps" else held).double()


class ItemSums:
    """Sums of columns over the tokens of each item, in float64.

    Holds one row of sums an item, and one for tokens that were added without an item. Sums are added up over
    items in rising order, so totals do not depend on the order of the documents beyond rounding.
    """

    def __init__(self) -> None:
        self._rows: dict[int, np.ndarray] = {}
        self._nameless: np.ndarray | None = None
        self.tokens = 0

    def add(self, columns: Float[Tensor, "t c"], items: Items) -> None:
        """Adds the columns of some tokens; `items` holds the item of each, at least 0, or is None.

        Raises:
            WrongUse: another number of items than of tokens, or a negative one.
        """
        self.tokens += len(columns)
        if items is None:
            told = columns.sum(0).cpu().numpy()
            self._nameless = told if self._nameless is None else self._nameless + told
            return
        if len(items) != len(columns) or bool((items < 0).any()):
            found = f"{len(items)} items beside {len(columns)} tokens, the lowest {min(items.tolist(), default=None)}"
            raise WrongUse("say which item each token belongs to", found=found, do="give one id from 0 on for each")
        ids, places = torch.unique(items.to(columns.device), return_inverse=True)
        sums = columns.new_zeros(len(ids), columns.shape[1]).index_add_(0, places, columns)
        for item, row in zip(ids.tolist(), sums.cpu().numpy(), strict=True):
            held = self._rows.get(item)
            self._rows[item] = row.copy() if held is None else held + row

    def total(self) -> Float[np.ndarray, " c"]:
        """Sums over all tokens."""
        parts = [self._rows[item] for item in sorted(self._rows)]
        return np.sum(parts if self._nameless is None else [*parts, self._nameless], axis=0)

    def of_items(self, name: str) -> tuple[Int[np.ndarray, " i"], Float[np.ndarray, "i c"]]:
        """The items in rising order, and the sums of each.

        Raises:
            WrongUse: some tokens, or all, were added without their item.
        """
        if self._nameless is not None or not self._rows:
            raise WrongUse(
                f"take {name} item by item",
                found="tokens that were added without their item" if self.tokens else "nothing was added",
                do="give `items`, the document of each token, with every `add`",
            )
        order = sorted(self._rows)
        return np.array(order, dtype=np.int64), np.stack([self._rows[item] for item in order])
