"""What a stretch of training looked like, from sums that each step adds to: nothing of size tokens × units."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.config import Config
from microtome.dictionary.architecture import Outcome
from microtome.train.team import ALONE, Team

DENSE = 0.1
TERM = "term "  # what sums of the loss's parts are named by
MEASURED = ("variance_explained", "l0", "dense", "crowded", "densest", "scale", "norm", "worst", "gradient")
AT_ONCE = 512  # rows whose differences are held at a time: they stay in the processor's cache


@dataclass(frozen=True)
class Reading(Config):
    """Figures of the steps since the reading before. Each batch was measured before it was learned from.

    Attributes:
        tokens: learned in the run so far.
        terms: parts of the loss, each a mean over tokens, at E‖x‖² = d.
        variance_explained: 1 − Σ‖y − ŷ‖² / Σ‖y − ȳ‖².
        l0: active units a token.
        dead: share of units that have not fired within the window.
        dense: share of units that fired on over a tenth of the tokens.
        crowded: share of all firings that were of these units.
        densest: share of the tokens on which the unit that fires most often fired.
        scale: Σ‖ŷ − ȳ‖² / Σ(ŷ − ȳ)·(y − ȳ): below 1, reconstructions are shrunk.
        norm: E‖x‖² / d of what is read, as it is trained on.
        worst: the largest step's squared error over the median step's.
        gradient: mean length of gradients before they are cut.
        rate: learning rate of the last step.
        skipped: steps whose loss or gradient was not finite; nothing was learned from them.
        bad_inputs: those of them whose inputs were not finite already.
    """

    tokens: int
    terms: dict[str, float]
    variance_explained: float
    l0: float
    dead: float
    dense: float
    crowded: float
    densest: float
    scale: float
    norm: float
    worst: float
    gradient: float
    rate: float
    skipped: int
    bad_inputs: int

    @property
    def loss(self) -> float:
        """The sum of its terms."""
        return float(sum(self.terms.values()))

    def __str__(self) -> str:
        return f"variance explained {self.variance_explained:.3f}, L0 {self.l0:.1f}, dead {self.dead:.1%}"


@dataclass(eq=False)
class Tally:
    """Sums over steps. Kept on the device, and read there once a reading.

    Attributes:
        team: the processes whose parts of each batch are added up.
        sums: float64 sums over tokens, by name; `fired` counts the tokens of each unit.
        steps: of each step the squared error and the length of the gradient.
        skipped, bad_inputs: see `Reading`.
    """

    team: Team = ALONE
    sums: dict[str, Tensor] = field(default_factory=dict)
    steps: list[Float[Tensor, "2"]] = field(default_factory=list)
    skipped: int = 0
    bad_inputs: int = 0

    def skip(self, x: Float[Tensor, "t r d"]) -> None:
        """A step from which nothing was learned."""
        self.skipped += 1
        self.bad_inputs += not bool(torch.isfinite(x).all())

    def add(self, sums: Mapping[str, Tensor], gradient: Float[Tensor, ""]) -> None:
        """A step, by the sums of `sums_of` over all of its batch."""
        for name, value in sums.items():
            if name in self.sums:
                self.sums[name] += value
            else:
                self.sums[name] = value.to(torch.float64, copy=True)
        self.steps.append(torch.stack([sums["squares"][2] / sums["tokens"], gradient]))

    def read(self, *, tokens: int, dead: float, rate: float, width: int) -> Reading:
        """The figures; not-a-number where every step was skipped."""
        if not self.steps:
            none = dict.fromkeys(MEASURED, float("nan"))
            return Reading(
                tokens=tokens, terms={}, dead=dead, rate=rate, skipped=self.skipped, bad_inputs=self.bad_inputs, **none
            )
        s = self.sums
        n = float(s["tokens"])
        mean = s["y"] / n
        of_y, of_y_hat, of_error = s["squares"].tolist()
        of_mean, across = n * float(mean.square().sum()), float((s["y_hat"] * mean).sum())
        spread = of_y - of_mean
        overlap = (of_y + of_y_hat - of_error) / 2 - across
        said = of_y_hat - 2 * across + of_mean
        often = self.team.all_units(s["fired"]) / n
        errors, gradients = torch.stack(self.steps).double().T.tolist()
        return Reading(
            tokens=tokens,
            terms={k.removeprefix(TERM): float(v) / n for k, v in s.items() if k.startswith(TERM)},
            variance_explained=1 - of_error / spread if spread > 0 else float("nan"),
            l0=float(often.sum()),
            dead=dead,
            dense=float((often > DENSE).double().mean()),
            crowded=float(often[often > DENSE].sum() / often.sum().clamp(min=1e-300)),
            densest=float(often.max()),
            scale=said / overlap if overlap > 0 else float("nan"),
            norm=float(s["input"]) / n / width,
            worst=max(errors) / max(median(errors), 1e-30),
            gradient=sum(gradients) / len(gradients),
            rate=rate,
            skipped=self.skipped,
            bad_inputs=self.bad_inputs,
        )

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        steps = torch.stack(self.steps) if self.steps else torch.zeros(0, 2)
        return {"sums": self.sums, "steps": steps, "skipped": self.skipped, "bad_inputs": self.bad_inputs}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Goes on from there."""
        self.sums = {name: tensor.to(device) for name, tensor in state["sums"].items()}
        self.steps = list(state["steps"].to(device))
        self.skipped, self.bad_inputs = state["skipped"], state["bad_inputs"]


def sums_of(x: Float[Tensor, "t r d"], y: Float[Tensor, "t w e"], outcome: Outcome) -> dict[str, Tensor]:
    """What figures are made from, of a batch or a part of one: of several parts, the sum."""
    y_hat = outcome.y_hat.detach()
    parts = zip(y.split(AT_ONCE), y_hat.split(AT_ONCE), strict=True)
    squares = torch.stack([torch.stack([_square(a), _square(b), _square(a - b)]) for a, b in parts]).sum(0)
    return {
        "squares": squares,  # of y, ŷ and y − ŷ
        "input": squares[0] if x is y else _square(x),
        "tokens": torch.tensor(float(len(y)), device=y.device),
        "y": y.sum(0),
        "y_hat": y_hat.sum(0),
        "fired": fired(outcome),
        **{f"{TERM}{name}": term.detach() * len(y) for name, term in outcome.terms.items()},
    }


def added(sums: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sums of one part of a batch more; there may be none before."""
    return {name: sums[name] + value if name in sums else value for name, value in more.items()}


def loss_in(sums: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    """Of all tokens together."""
    return torch.stack([value for name, value in sums.items() if name.startswith(TERM)]).sum()


def fired(outcome: Outcome) -> Float[Tensor, "u"]:
    """On how many tokens each unit fired, block after block."""
    counts = [torch.bincount(one.picks.ids[one.firing], minlength=one.picks.n_units) for one in outcome.active]
    return torch.cat(counts).double()


def _square(x: Tensor) -> Float[Tensor, ""]:
    return torch.dot(x.reshape(-1), x.reshape(-1)).double()
