"""Fitting little language models: one plain loop over contexts that can be stopped at any step and goes on exactly."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import AdamW
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from microtome.activations.config import ReadingConfig
from microtome.activations.contexts import Contexts, Cursor
from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.core.progress import working
from microtome.data.corpus import Corpus, corpus_of
from microtome.train import checkpoint
from microtome.train.clock import Clock
from microtome.train.schedule import crossed
from microtome.train.span import tokens_of
from microtome.train.stopping import asked_to_stop

NOT_ASKED = -100


@dataclass(frozen=True)
class FitConfig(Config):
    """How a little language model is fitted.

    Attributes:
        tokens: to predict in all; the texts begin anew when they end.
        lr: of AdamW at its highest.
        betas: of AdamW.
        weight_decay: of matrices; vectors, which are gains of norms, have none.
        clip: length to which longer gradients are cut.
        warm_up, decay: spans in which the rate rises from zero, and falls to zero at the end.
        log_every, checkpoint_every: see `train.config.RunConfig`.

    Raises:
        WrongUse: a number is out of its range, or a span is written otherwise.
    """

    tokens: int = 4_000_000
    lr: float = 3e-3
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.1
    clip: float = 1.0
    warm_up: str = "2%"
    decay: str = "60%"
    log_every: str = "1%"
    checkpoint_every: str = "2 minutes"

    def __post_init__(self) -> None:
        for name, value in {"tokens": self.tokens, "lr": self.lr, "clip": self.clip}.items():
            if not value > 0:
                raise WrongUse("fit a language model", found=f"{name} = {value}", do=f"give a {name} above zero")
        for span in (self.warm_up, self.decay, self.log_every):
            tokens_of(span, 1)

    def rate(self, at: int) -> float:
        """What the rate is multiplied by, `at` tokens having been predicted."""
        up = (at + 1) / max(tokens_of(self.warm_up, self.tokens), 1)
        down = (self.tokens - at) / max(tokens_of(self.decay, self.tokens), 1)
        return max(0.0, min(1.0, up, down))


@dataclass(frozen=True)
class Loss(Config):
    """The mean loss over a stretch of a run.

    Attributes:
        at: tokens predicted by its end.
        nats: a token.
    """

    at: int
    nats: float


class Fit:
    """A run: the module, the optimiser, and where it stands."""

    def __init__(self, module: PreTrainedModel, contexts: Contexts, config: FitConfig):
        self.module, self.contexts, self.config = module, contexts, config
        self.names, self.weights = zip(*module.named_parameters(), strict=True)  # tied weights once
        decayed = [{"params": [one], "weight_decay": config.weight_decay * (one.ndim > 1)} for one in self.weights]
        self.optimiser = AdamW(decayed, lr=config.lr, betas=config.betas, fused=True)
        self.at, self.cursor = 0, Cursor()
        self.losses: list[Loss] = []
        self._sum, self._n = 0.0, 0

    def go(self, out: Path | None) -> None:
        """Learns to the end.

        Raises:
            KeyboardInterrupt, SystemExit: somebody stopped it; a checkpoint holds the state.
        """
        clock = Clock(self.config.checkpoint_every, self.config.tokens)
        with asked_to_stop() as stop, working("fitting a language model", self.config.tokens) as shown:
            shown(self.at)
            for cursor, batch in self.contexts.batches(self.cursor, endless=True):
                if cursor == self.cursor and self.at:
                    continue  # the batch that was learned last before it stopped
                before, self.cursor = self.at, cursor
                self._learn(*padded(batch.ids, self.module.device))
                shown(self.at - before)
                if crossed(tokens_of(self.config.log_every, self.config.tokens), before, self.at):
                    self.losses.append(Loss(self.at, self._sum / self._n))
                    self._sum, self._n = 0.0, 0
                    shown.say(f"{self.losses[-1].nats:.3f} nats a token")
                if self.at >= self.config.tokens:
                    return
                if out is not None and (stop.signal is not None or clock.due(self.at)):
                    checkpoint.write(out, self.state())
                if stop.signal is not None:
                    stop.leave()

    def _learn(self, ids: Tensor, targets: Tensor) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.lr * self.config.rate(self.at)
        n = int((targets != NOT_ASKED).sum())
        logits = self.module(ids, use_cache=False).logits
        loss = cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=NOT_ASKED)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, self.config.clip)
        self.optimiser.step()
        self.at += n
        self._sum, self._n = self._sum + float(loss.detach()) * n, self._n + n

    def state(self) -> dict[str, Any]:
        """All that the rest of the run depends on."""
        return {
            "of": self._identity(),
            "at": self.at,
            "cursor": self.cursor.to_dict(),
            "losses": [one.to_dict() for one in self.losses],
            "since": [self._sum, self._n],
            "weights": dict(zip(self.names, self.weights, strict=True)),
            "optimiser": [self.optimiser.state[one] for one in self.weights],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from what an equal run gave.

        Raises:
            WrongUse: the run had another network, other texts or settings.
        """
        if state["of"] != checkpoint.as_read(self._identity()):
            raise WrongUse(
                "go on with fitting a language model", found="a run with another network, other texts or settings",
                do="fit it as before, or in another folder",
            )  # fmt: skip
        self.at, self.cursor = state["at"], Cursor.from_dict(state["cursor"])
        self.losses = [Loss.from_dict(one) for one in state["losses"]]
        self._sum, self._n = state["since"]
        with torch.no_grad():
            for name, weight in zip(self.names, self.weights, strict=True):
                weight.copy_(state["weights"][name])
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": dict(enumerate(state["optimiser"])), "param_groups": groups})

    def _identity(self) -> dict[str, Any]:
        shapes = {name: list(weight.shape) for name, weight in zip(self.names, self.weights, strict=True)}
        settings = {k: v for k, v in self.config.to_dict().items() if k != "checkpoint_every"}
        texts = self.contexts.corpus.fingerprint
        return {"shapes": shapes, "texts": texts, "reading": self.contexts.config.to_dict(), "settings": settings}


def fit(
    module: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: str | Path | Corpus | Iterable[str],
    config: FitConfig | None = None,
    *,
    reading: ReadingConfig | None = None,
    out: str | Path | None = None,
) -> list[Loss]:
    """Trains a language model in place to predict the next token.

    Args:
        module: with weights drawn already; it is in eval mode afterwards.
        tokenizer: of it.
        texts: a file or folder, the name of a corpus, texts, or a `Corpus`.
        config: how; None for `FitConfig()`.
        reading: how texts become rows of tokens. Every token but a row's first is learned, whatever it leaves out.
        out: folder for checkpoints; a run that was stopped there goes on.

    Returns:
        The loss of each hundredth of the run, on batches not learned before it was taken.

    Raises:
        WrongUse: settings out of range, texts without tokens, or a folder that holds another run.
    """
    contexts = Contexts(corpus_of(texts), tokenizer, reading or ReadingConfig())
    run, folder = Fit(module.train(), contexts, config or FitConfig()), None if out is None else Path(out)
    if folder is not None and (folder / checkpoint.FILE).exists():
        run.restore(checkpoint.read(folder))
    run.go(folder)
    module.eval()
    if folder is not None:
        (folder / checkpoint.FILE).unlink(missing_ok=True)
    return run.losses


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows side by side, and the token that follows each; what was filled up is not asked for. Both `[b, p]`."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    targets = torch.tensor([[*row[1:], *[NOT_ASKED] * (longest - len(row) + 1)] for row in rows])
    return ids.to(device), targets.to(device)
