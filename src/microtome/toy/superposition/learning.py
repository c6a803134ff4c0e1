"""Training: all models in one run, each with its own inputs, start and moments of Adam."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.core.progress import working
from microtome.toy.superposition.features import Source
from microtome.toy.superposition.toys import Toys

Parameters = dict[str, Tensor]
Losses = Callable[[Parameters, slice], Float[Tensor, "i"]]
# Numbers of inputs that are learned from at a time, of one model at least: what is made of them stays in a cache.
AT_A_TIME = 1 << 18


@dataclass(frozen=True)
class ToyConfig(Config):
    """How toy models are trained.

    Attributes:
        hidden: dimensions, m.
        relu: whether the output passes a ReLU.
        steps: of Adam.
        batch: inputs a step, of each model.
        lr: constant, or the highest where it decays.
        decay: whether lr falls to zero along half a cosine.
        weight_decay: of AdamW.
        seed: of starts and inputs.
        seen: how many times in the run weights and losses are kept.

    Raises:
        WrongUse: a number is out of its range.
    """

    hidden: int
    relu: bool = True
    steps: int = 10_000
    batch: int = 1024
    lr: float = 1e-3
    decay: Literal["none", "cosine"] = "none"
    weight_decay: float = 0.0
    seed: int = 0
    seen: int = 0

    def __post_init__(self) -> None:
        least = {"hidden": 1, "steps": 1, "batch": 1, "lr": 1e-12, "weight_decay": 0.0, "seen": 0}
        low = [f"{name}={self.to_dict()[name]}" for name, bound in least.items() if self.to_dict()[name] < bound]
        if low or self.seen > self.steps or self.decay not in ("none", "cosine"):
            raise WrongUse(
                "train toy models", found=", ".join(low) or f"seen={self.seen}, steps={self.steps}, decay={self.decay}",
                do="give sizes of at least 1, no more glances than steps, and decay 'none' or 'cosine'",
            )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Learned:
    """What training made, and what it passed through.

    Attributes:
        toys: at the end.
        steps: at which weights and losses were kept.
        losses: of each model there, on the batch at hand.
        path: the models there.
    """

    toys: Toys
    steps: tuple[int, ...] = ()
    losses: Float[Tensor, "s i"] = field(default_factory=lambda: torch.empty(0, 0))
    path: tuple[Toys, ...] = ()


def learned(source: Source, config: ToyConfig) -> Learned:
    """Trains a toy model for each set of features of the source.

    W starts as in the paper's notebook: normal, with variance 2 / (n + m); b at zero.
    """
    random = torch.Generator().manual_seed(config.seed)
    models, n = source.importance.shape
    start = torch.randn(models, n, config.hidden, generator=random) * (2 / (n + config.hidden)) ** 0.5
    parameters = {"weights": start, "bias": torch.zeros(models, n)}
    steps, kept, path = [], [], []

    def seen(step: int, loss: Float[Tensor, "i"]) -> None:
        steps.append(step)
        kept.append(loss)
        path.append(toys({name: one.detach().clone() for name, one in parameters.items()}))

    def toys(of: Parameters) -> Toys:
        return Toys(of["weights"], of["bias"], config.relu)

    def losses(of: Parameters, models: slice) -> Float[Tensor, "i"]:
        some = source[models]
        return toys(of).loss(some.sample(config.batch, random), some.importance)

    descended(parameters, losses, config, seen)
    made = toys({name: one.detach() for name, one in parameters.items()})
    return Learned(made, tuple(steps), torch.stack(kept) if kept else torch.empty(0, models), tuple(path))


def descended(
    parameters: Parameters,
    losses: Losses,
    config: ToyConfig,
    seen: Callable[[int, Float[Tensor, "i"]], None] | None = None,
) -> None:
    """Steps of Adam on parameters in place, for the sum of the models' losses: no model feels another's.

    Args:
        parameters: of all models; `bias` has a number for each feature.
        losses: of some models by their parameters, and which they are.
        config: how long, and how fast.
        seen: is shown losses before a step.
    """
    for one in parameters.values():
        one.requires_grad_(True).grad = torch.zeros_like(one)
    parts = _parts(parameters, max(1, AT_A_TIME // (config.batch * parameters["bias"].shape[1])))
    adam = torch.optim.AdamW(parameters.values(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    rate = torch.optim.lr_scheduler.LambdaLR(adam, _cosine(config))
    glances = {round(i * (config.steps - 1) / max(config.seen - 1, 1)) for i in range(config.seen)}
    with working("training toy models", config.steps) as shown:
        for step in range(config.steps):
            adam.zero_grad(set_to_none=False)
            found = torch.cat([_felt(losses(part, models)) for models, part in parts])
            if seen is not None and step in glances:
                seen(step, found)
            adam.step()
            rate.step()
            shown(1)


def _parts(parameters: Parameters, size: int) -> list[tuple[slice, Parameters]]:
    """So many models at a time, as views of the whole; their gradients are views too, so that Adam finds them."""
    parts = []
    for start in range(0, len(parameters["bias"]), size):
        models, part = slice(start, start + size), {}
        for name, whole in parameters.items():
            assert whole.grad is not None
            part[name] = whole.detach()[models].requires_grad_(True)
            part[name].grad = whole.grad[models]
        parts.append((models, part))
    return parts


def _felt(losses: Float[Tensor, "i"]) -> Float[Tensor, "i"]:
    """The losses, once gradients are there."""
    losses.sum().backward()
    return losses.detach()


def _cosine(config: ToyConfig) -> Callable[[int], float]:
    if config.decay == "none":
        return lambda step: 1.0
    return lambda step: 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * step / config.steps))))
