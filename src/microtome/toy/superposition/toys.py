"""The model itself: features are squeezed into fewer dimensions and read out again, by the same weights.

    h = W x        x' = ReLU(Wᵀ h + b), or without the ReLU        L = E Σᵢ Iᵢ (xᵢ − x'ᵢ)²

The sum over features is the paper's formula; its notebook takes their mean, which is L / n. Models lie side by side in
one tensor (`i`), and each learns as if it were alone: Elhage et al. 2022, section 2.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.toy.superposition.features import Source


@dataclass(frozen=True, eq=False)
class Toys:
    """Toy models.

    Attributes:
        weights: W, transposed: the direction of each feature.
        bias: b.
        relu: whether the output passes a ReLU.
    """

    weights: Float[Tensor, "i n m"]
    bias: Float[Tensor, "i n"]
    relu: bool = True

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, which: slice | list[int]) -> "Toys":
        return Toys(self.weights[which], self.bias[which], self.relu)

    def hidden(self, x: Float[Tensor, "i t n"]) -> Float[Tensor, "i t m"]:
        """What is kept of the inputs."""
        return x @ self.weights

    def __call__(self, x: Float[Tensor, "i t n"]) -> Float[Tensor, "i t n"]:
        """The reconstruction."""
        out = self.hidden(x) @ self.weights.mT + self.bias[:, None]
        return out.relu() if self.relu else out

    def loss(self, x: Float[Tensor, "i t n"], importance: Float[Tensor, "i n"]) -> Float[Tensor, "i"]:
        """Of each model, on these inputs."""
        return weighted(self(x), x, importance)

    def expected_loss(
        self, source: Source, *, batches: int = 64, size: int = 4096, seed: int = 1
    ) -> Float[Tensor, "i"]:
        """Of each model, on so many batches of inputs that none has seen."""
        random = torch.Generator(self.weights.device).manual_seed(seed)
        with torch.no_grad():
            losses = [self.loss(source.sample(size, random), source.importance) for _ in range(batches)]
        return torch.stack(losses).mean(0)


def weighted(
    out: Float[Tensor, "i t n"], target: Float[Tensor, "i t n"], importance: Float[Tensor, "i n"]
) -> Float[Tensor, "i"]:
    """L: summed over features, averaged over inputs."""
    squared = torch.nn.functional.mse_loss(out, target, reduction="none")
    return (squared.sum(1) * importance).sum(1) / out.shape[1]
