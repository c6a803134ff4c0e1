"""Codes pooled over the tokens of each document, sparse from end to end."""

import numpy as np
import torch
from jaxtyping import Bool, Int
from scipy import sparse
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.metrics.codes import Active


class Pooled:
    """Mean activation of each unit over the tokens of each document, and the document's label.

    Held as the sums of the pairs of document and unit that occur, so memory goes with what fires.

    Args:
        name: of the metric, for errors.
        n_units: how many units there are.
    """

    def __init__(self, name: str, n_units: int):
        self.name, self.n_units = name, n_units
        self._places: dict[int, int] = {}  # document: its row, in the order of arrival
        self._labels: list[bool] = []
        self._tokens: list[int] = []
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, codes: Active, items: Int[Tensor, " t"], labels: Bool[Tensor, " t"]) -> None:
        """Adds the codes of some tokens, with the document of each and that document's label.

        Raises:
            WrongUse: counts that differ, or a document that carries two labels.
        """
        if not len(items) == len(labels) == codes.tokens:
            found = f"{codes.tokens} tokens, {len(items)} items, {len(labels)} labels"
            raise WrongUse(f"add codes to {self.name}", found=found, do="give a document and a label for each token")
        documents, places = torch.unique(items.cpu(), return_inverse=True)
        counts = torch.bincount(places, minlength=len(documents))
        positive = torch.bincount(places, weights=labels.cpu().double(), minlength=len(documents))
        rows = [
            self._row(document, count, true)
            for document, count, true in zip(documents.tolist(), counts.tolist(), positive.tolist(), strict=True)
        ]
        row_of_entry = np.array(rows, dtype=np.int64)[places[codes.rows.cpu()].numpy()]
        shape = (len(self._places), self.n_units)
        merged = sparse.coo_array((codes.values.cpu().numpy(), (row_of_entry, codes.units.cpu().numpy())), shape=shape)
        merged.sum_duplicates()
        self._parts.append((merged.coords[0], merged.coords[1], merged.data))

    def _row(self, document: int, count: int, positive: float) -> int:
        label = positive > 0
        row = self._places.setdefault(document, len(self._places))
        if row == len(self._labels):
            self._labels.append(label)
            self._tokens.append(0)
        if positive not in (0, count) or self._labels[row] != label:
            found = f"document {document} with both labels"
            raise WrongUse(f"add codes to {self.name}", found=found, do="give every document one label")
        self._tokens[row] += count
        return row

    def documents(self) -> Int[np.ndarray, " i"]:
        """The documents in rising order, [i]."""
        return np.array(sorted(self._places), dtype=np.int64)

    def labels(self) -> Bool[np.ndarray, " i"]:
        """Their labels, [i]."""
        return np.array(self._labels, dtype=bool)[self._order()]

    def means(self) -> sparse.csr_array:
        """Mean activations over the tokens of each document, zeros included, sparse, [i, u]."""
        rows, units, sums = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        means = sums / np.array(self._tokens)[rows]
        shape = (len(self._places), self.n_units)
        return sparse.coo_array((means, (rows, units)), shape=shape).tocsr()[self._order()]

    def _order(self) -> Int[np.ndarray, " i"]:
        return np.array([self._places[document] for document in sorted(self._places)], dtype=np.int64)
