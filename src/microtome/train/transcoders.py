"""Transcoders for the MLPs of a model, all trained in one pass of the model over texts.

Stored, the inputs and outputs of every MLP would take far more room than the model; here they stay in memory, in the
buffer of a `Stream`, for as long as it takes to shuffle them.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from microtome.activations.config import StreamConfig
from microtome.activations.rows import widths_of
from microtome.activations.stream import Stream
from microtome.core.artefact import RunCard
from microtome.core.errors import WrongUse
from microtome.data.corpus import Corpus, corpus_of
from microtome.dictionary.architecture import ARCHITECTURES
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.named import RUN, folder_of
from microtome.dictionary.saving import CARD, load, save
from microtome.dictionary.together import together
from microtome.model.model import Model
from microtome.train import log
from microtome.train.checkpoint import as_read
from microtome.train.config import RunConfig, TrainConfig
from microtome.train.job import Job, job
from microtome.train.same_run import differences
from microtome.train.settings import names, split
from microtome.train.team import team
from microtome.train.training import train_many

READS, WRITES = "mlp.in", "mlp.out"
BUFFER_ROWS = 1 << 15
NORM_LIMIT = 10.0
"""Times the median. A token in eighty of SmolLM2 has an MLP output of forty times the median at layer 2, and such
tokens would own seven eighths of what there is to reconstruct."""

AUX_K = 32
"""Dead units that a token trains: as many as live ones. The usual 256 of 4,096 would make a step five times as long."""


def train_transcoders(
    model: Model, texts: str | Path | Corpus | Iterable[str] = "sae-probes", layers: str = "*", *, units: int = 4096,
    seed: int = 0, out: str | Path | None = None, **settings: Any,
) -> Dictionary:  # fmt: skip
    """Trains a transcoder for the MLP of every layer; killed at any moment, the same call goes on.

    Args:
        model: with its tokenizer; without edits. It is run up to the last of the layers, and never to its logits.
        texts: a file or folder, the name of a corpus, texts, or a `Corpus`.
        layers: which: `*` for all, `7`, or `{3,7,11}`.
        units: of each layer.
        seed: of the start, of the order of rows, and of everything drawn on the way.
        out: folder of the dictionary; None keeps it in the user's cache, as `MODEL/transcoders`.
        settings: `architecture` and its settings (`k`, `aux_k`), those of `TrainConfig` (`lr`), of `RunConfig`
            (`tokens`, `batch`), and of `StreamConfig` (`context`, `norm_limit`, `buffer_rows`).

    Returns:
        One dictionary with a block for each layer, which reads its `mlp.in` and writes its `mlp.out`.

    Raises:
        As `train.train`; WrongUse also where `out` holds a dictionary that was made otherwise.
    """
    folder = home(model) if out is None else Path(out)
    asked = _asked(model, corpus_of(texts), f"{READS}.{layers}", units, seed, settings)
    run = RunConfig.from_dict(asked.run)
    with team(run.columns, run.device) as everyone:
        made_before = (folder / CARD).exists()
        everyone.wait()  # all have looked before anyone writes
        if not made_before:
            sites = [site for one in asked.jobs for site in one.sites]
            parts = train_many(
                Stream(model, asked.texts, sites, asked.reading), asked.jobs, out=folder / RUN, resume=True, **asked.run
            )
            if everyone.leads:
                _put_together(parts, asked, folder)
            everyone.wait()
        made = load(folder)
        _check_same(folder, asked, {} if made.card is None else made.card.config.get("asked", {}))
        if everyone.leads and (folder / RUN).exists():  # all that is left of it is how it went
            if (folder / RUN / log.FILE).exists():
                (folder / RUN / log.FILE).replace(folder / log.FILE)
            shutil.rmtree(folder / RUN)
    return made


def _put_together(parts: Sequence[Dictionary], asked: "_Asked", folder: Path) -> None:
    cards = [one.card for one in parts if one.card is not None]
    _check_same(folder, asked, _of_parts(cards))  # they may be from a call that was killed just before it ended
    save(together(parts, _card(asked, cards, folder / RUN)), folder)


def home(model: Model) -> Path:
    """Where a model's transcoders are kept, to be found by the name `MODEL/transcoders`."""
    return folder_of(f"{model.name}/transcoders")


@dataclass(frozen=True)
class _Asked:
    """What is to be trained, and how.

    Attributes:
        model: its run card.
        texts: what it reads.
        reading: how, and how rows are shuffled.
        jobs: one a layer.
        run: settings of the pass.
    """

    model: dict[str, str]
    texts: Corpus
    reading: StreamConfig
    jobs: tuple[Job, ...]
    run: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """All on which the weights depend, in plain values."""
        return as_read({
            "model": {name: self.model[name] for name in ("fingerprint", "dtype")},
            "texts": self.texts.fingerprint,
            "reading": self.reading.to_dict(),
            "jobs": [one.to_dict() for one in self.jobs],
            "run": RunConfig.from_dict(self.run).shaping,
        })  # fmt: skip


def _asked(model: Model, texts: Corpus, reads: str, units: int, seed: int, settings: dict[str, Any]) -> _Asked:
    architecture = settings.get("architecture", "topk")
    owners = {"architecture": ARCHITECTURES.get(architecture), "training": TrainConfig, "run": RunConfig}
    rest = {name: value for name, value in settings.items() if name != "architecture"}
    parts = split(rest, {**owners, "reading": StreamConfig})
    if "aux_k" in names(owners["architecture"]):
        parts["architecture"].setdefault("aux_k", AUX_K)
    rows = min(BUFFER_ROWS, RunConfig.from_dict(parts["run"]).tokens)
    reading = {"norm_limit": NORM_LIMIT, "buffer_rows": rows} | parts["reading"] | {"seed": seed}
    jobs = [
        job(
            reads=site, writes=site.replace(READS, WRITES), architecture=architecture, units=units, seed=seed,
            name=f"layer {model.site(site).layer}", **parts["architecture"], **parts["training"],
        )
        for site in widths_of(model, [reads])
    ]  # fmt: skip
    return _Asked(model.card, texts, StreamConfig.from_dict(reading), tuple(jobs), parts["run"])


def _of_parts(cards: Sequence[RunCard]) -> dict[str, Any]:
    """What `_Asked.to_dict` was of the call that made some parts."""
    first = cards[0]
    return {
        "model": {name: first.model[name] for name in ("fingerprint", "dtype")},
        "texts": first.data["texts"]["fingerprint"],
        "reading": first.data["config"],
        "jobs": [card.config["job"] for card in cards],
        "run": RunConfig.from_dict(first.config["run"]).shaping,
    }


def _card(asked: _Asked, cards: Sequence[RunCard], run: Path) -> RunCard:
    """How the set was made, and how each layer's training ended."""
    layers = {
        one.reads[0]: {name: card.config[name] for name in ("learning_rate", "scales", "final", "doctor")}
        for one, card in zip(asked.jobs, cards, strict=True)
    }
    config = {
        "asked": asked.to_dict(), "tokens": cards[0].config["tokens"], "seconds": _seconds(run), "layers": layers,
    }  # fmt: skip
    return RunCard("dictionary", 1, cards[0].seed, config, cards[0].model, cards[0].data)


def _check_same(folder: Path, asked: _Asked, found: dict[str, Any]) -> None:
    """Refuses what was made otherwise.

    Raises:
        WrongUse: it was; the message says how.
    """
    if different := list(differences(asked.to_dict(), as_read(found))):
        raise WrongUse(
            f"train transcoders into {folder}", found=f"others there: {'; '.join(different[:4])}",
            do="name another folder, or remove that one",
        )  # fmt: skip


def summary(made: Dictionary) -> str:
    """How the training of a set went, in words; variance explained is of tokens that were not yet learned from."""
    assert made.card is not None
    config = made.card.config
    finals = {site: layer["final"] for site, layer in config["layers"].items()}
    explained = {site: final["variance_explained"] for site, final in finals.items()}
    worst = min(explained, key=lambda site: explained[site])
    dead = fmean(final["dead"] for final in finals.values())
    return (
        f"variance explained {fmean(explained.values()):.3f} in the mean over {len(finals)} layers, "
        f"{explained[worst]:.3f} from {worst}; dead units {dead:.1%}; "
        f"{config['tokens']:,} tokens in {config['seconds'] / 60:.1f} minutes"
    )


def _seconds(folder: Path) -> float:
    """How long a run took by its log, from its first step on; pauses between a stop and going on are left out."""
    speeds = {line["tokens"]: line["tokens_per_second"] for line in log.read(folder) if "tokens_per_second" in line}
    spans = zip([0, *speeds], speeds, strict=False)
    return sum((after - before) / speeds[after] for before, after in spans)
