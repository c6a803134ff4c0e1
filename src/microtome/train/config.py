"""Settings: of one dictionary's training, and of the pass over the data that several may share."""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from microtome.core.checking import check_kinds, check_range
from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.train.span import tokens_of

WHAT = "train a dictionary"  # for messages
# What a run may change when it goes on; what the doctor repairs from then on is repaired from then on.
UPKEEP = ("checkpoint_every", "tensorboard", "wandb", "doctor", "device", "columns")


@dataclass(frozen=True)
class TrainConfig(Config):
    """How one dictionary is trained. Spans are written `5%` (of the run) or `200k tokens`: see `train.span`.

    Attributes:
        lr: of Adam; None for what units of the largest block and steps call for: see `schedule.usual_rate`.
        betas: of Adam.
        clip: length to which longer gradients are cut; None for no limit.
        warm_up: over which the learning rate rises from zero.
        decay: at the end, over which it falls to zero.
        ramp: over which penalties rise from zero.
        dead_after: a unit that has not fired for so long is dead.
        resample_at: when dead units begin anew from inputs that are reconstructed badly (Bricken et al. 2023).
        decoder: `free` write vectors, whose lengths are folded into activations at the end, or of `unit` length
            throughout, with gradients along them taken away.
        centre: where b_dec starts: the `mean` or the geometric `median` of a first batch of what is written, or `zero`.
        length: of write vectors at the start, where they are free.
    """

    lr: float | None = None
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float | None = 1.0
    warm_up: str = "5%"
    decay: str = "20%"
    ramp: str = "5%"
    dead_after: str = "10%"
    resample_at: tuple[str, ...] = ()
    decoder: Literal["free", "unit"] = "free"
    centre: Literal["mean", "median", "zero"] = "mean"
    length: float = 0.1

    def __post_init__(self) -> None:
        check_kinds(self, WHAT)
        for span in (self.warm_up, self.decay, self.ramp, self.dead_after, *self.resample_at):
            tokens_of(span, 1)
        for name, value in {"lr": self.lr, "clip": self.clip, "length": self.length}.items():
            check_range(WHAT, name, value, above=0)
        for beta in self.betas:
            check_range(WHAT, "beta", beta, least=0, most=0.999999)


@dataclass(frozen=True)
class RunConfig(Config):
    """One pass over the data, in which one or many dictionaries are trained.

    Attributes:
        tokens: to train on; the source starts over where it has fewer.
        batch: tokens a step.
        device: None for the GPU where there is one, else the CPU.
        columns: of the processes that torchrun started, over how many the units are divided; the batch is divided over
            what remains. None for all of them.
        log_every: a span, after which figures are read and the doctor looks.
        checkpoint_every: a span, or minutes as in `10 minutes`.
        tensorboard: whether event files are written too (extra `tensorboard`).
        wandb: project of Weights & Biases that figures are sent to as well (extra `wandb`).
        doctor: what is done about an illness: `stop`, `repair`, `warn` or `off`, by the name of its check; where
            one is not named, what the check itself says.
    """

    tokens: int = 2_000_000
    batch: int = 4096
    device: str | None = None
    columns: int | None = None
    log_every: str = "1%"
    checkpoint_every: str = "10 minutes"
    tensorboard: bool = False
    wandb: str | None = None
    doctor: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_kinds(self, WHAT)
        check_range(WHAT, "columns", self.columns, least=1)
        _check_device(self.device)
        if not 1 <= self.batch <= self.tokens:
            raise WrongUse(
                "train a dictionary", found=f"{self.tokens:,} tokens in batches of {self.batch:,}",
                do="give batches of at least one token, and at least one batch",
            )  # fmt: skip
        tokens_of(self.log_every, 1)

    @property
    def steps(self) -> int:
        """Whole batches."""
        return self.tokens // self.batch

    @property
    def shaping(self) -> dict[str, Any]:
        """The settings on which the weights depend: what a run that goes on may not change."""
        return {name: value for name, value in self.to_dict().items() if name not in UPKEEP}


def _check_device(name: str | None) -> None:
    """Refuses a device that torch does not have here."""
    if name is None:
        return
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # torch raises either, by the kind of device
        said = str(error).splitlines()[0]
        raise WrongUse(
            WHAT, found=f"device = {name!r}: {said}", do="name a device of this machine, such as 'cpu', or leave it out"
        ) from error
