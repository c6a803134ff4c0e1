"""Every finder on every network and seed, a file each, so that a run that was stopped goes on."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from transformers import GPT2LMHeadModel

from microtome.bench.circuits.finders import DICTIONARIES, HOLDING, Claims, all_finders, finder
from microtome.bench.circuits.scoring import EDGES, held_to, levels
from microtome.circuit.patching.components import components_of
from microtome.circuit.patching.patching import kept
from microtome.core.artefact import RunCard, read_artefact, write_json
from microtome.core.config import Config
from microtome.core.errors import UnknownName, WrongUse
from microtome.core.progress import working
from microtome.data.task import Task
from microtome.model.model import Model
from microtome.model.opening import open
from microtome.toy.known import Known, known, known_names

KIND, FORMAT = "circuit score", 3
SLOW = ("acdc", "path", DICTIONARIES)  # a pass an edge, or a training: no control is made for them
SHOWN, APART = 200, 1_000_000
"""Pairs of inputs for those that learn from them, and how far their seed is from the task's."""


@dataclass(frozen=True)
class SuiteConfig(Config):
    """How the suite runs.

    Attributes:
        networks: see `known_names`; all where none is named.
        seeds: how many; each draws the task anew, and of compiled networks the places of parts and their decoys.
        rows: of each task.
        draws: shuffled scores a null.
    """

    networks: tuple[str, ...] = ()
    seeds: int = 2
    rows: int = 10
    draws: int = 20

    def __post_init__(self) -> None:
        if unknown := [name for name in self.networks if name not in known_names()]:
            raise UnknownName("known network", unknown[0], known_names(), do="choose one of these")
        if min(self.seeds, self.rows, self.draws) < 1:
            raise WrongUse(
                "hold methods to known circuits",
                found=f"{self.seeds} seeds, {self.rows} rows, {self.draws} draws", do="give one of each at least",
            )  # fmt: skip

    @property
    def names(self) -> tuple[str, ...]:
        """The networks."""
        return self.networks or known_names()


@dataclass(frozen=True)
class Score:
    """One finder on one network.

    Attributes:
        network, seed, finder: whose.
        levels: by name of level: figures, those of nulls draw by draw, and counts.
        control: by name of level, figures on a network of the same shape with random weights, held to this one's truth;
            empty for methods that take long.
        faithfulness: what the circuit of its largest edges keeps, as many as are true, and after it what circuits of
            the same shape keep, a draw each; None without edges, or where no row's answer falls.
        seconds: that finding took.
    """

    network: str
    seed: int
    finder: str
    levels: dict[str, Any]
    control: dict[str, Any]
    faithfulness: list[float] | None
    seconds: float


@dataclass(frozen=True)
class Scores:
    """All of a suite.

    Attributes:
        config: how it ran.
        finders: those scored.
        scores: every network, seed and finder.
        card: how it was made.
    """

    config: SuiteConfig
    finders: tuple[str, ...]
    scores: tuple[Score, ...]
    card: RunCard


def score(out: str | Path, config: SuiteConfig | None = None, finders: Sequence[str] | None = None) -> Scores:
    """Holds finders to known circuits, or takes from the folder what lies there already.

    Args:
        out: folder for the files.
        config: see `SuiteConfig`.
        finders: which; all of them by default.

    Raises:
        UnknownName: no network or finder is called so.
        WrongUse: the folder cannot be written to.
    """
    config, names, folder = config or SuiteConfig(), tuple(finders or all_finders()), Path(out) / "scores"
    for name in names:
        finder(name)  # refuses before anything is run
    scores: list[Score] = []
    with working("known circuits", len(config.names) * config.seeds * len(names)) as step:
        for network in config.names:
            for seed in range(config.seeds):
                for one in _of_network(folder, network, seed, config, names):
                    step.say(f"{one.network}, seed {one.seed}: {one.finder}")
                    scores.append(one)
                    step()
    return Scores(config, names, tuple(scores), RunCard("circuit suite", FORMAT, 0, config.to_dict()))


def _of_network(
    folder: Path, network: str, seed: int, config: SuiteConfig, names: tuple[str, ...]
) -> Iterator[Score]:  # fmt: skip
    bench: Bench | None = None
    for name in names:
        path = folder / network / f"{name.replace(' ', '-')}-{seed}.json"
        card = RunCard(KIND, FORMAT, seed, {"rows": config.rows, "draws": config.draws, "finder": name}).to_dict()
        if (found := _kept(path, card)) is None:
            bench = bench or Bench.of_network(network, seed, config)
            found = bench.scored(name)
            write_json(path, {"card": card, **asdict(found)})
        yield found


def _kept(path: Path, card: dict[str, Any]) -> Score | None:
    """What an earlier run left, where it was made by these settings."""
    if not path.exists():
        return None
    found = read_artefact(path, kind=KIND, format=FORMAT, keys=Score.__dataclass_fields__)
    same = found["card"]["config"] == card["config"] and found["card"]["seed"] == card["seed"]
    return Score(**{name: found[name] for name in Score.__dataclass_fields__}) if same else None


@dataclass(frozen=True, eq=False)
class Bench:
    """A network with its task and its random twin.

    Attributes:
        network, seed, draws: of the suite.
        of: the network and its truth.
        model, twin: opened; the twin has the same shape and random weights.
        task: that its circuit answers.
    """

    network: str
    seed: int
    draws: int
    of: Known
    model: Model
    twin: Model
    task: Task

    @classmethod
    def of_network(cls, network: str, seed: int, config: SuiteConfig) -> "Bench":
        """Compiles it where it is a program, and draws its task, by the seed."""
        of = known(network, seed)
        task = replace(of.pairs(config.rows, seed), name=network)
        return cls(network, seed, config.draws, of, of.open(), _twin(of, seed), task)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """More inputs of the task's kind, for those that learn from them; of some programs there are few."""
        pairs = self.of.pairs(SHOWN, self.seed + APART)
        return tuple(dict.fromkeys(text for row in pairs.rows for text in (row.clean, row.counterfactual)))

    def scored(self, name: str) -> Score:
        """One finder, on the network and on its twin."""
        start = perf_counter()
        claims = finder(name)(self.model, self.task, self.inputs)
        seconds = perf_counter() - start
        own = self._levels(name, claims)
        control = {} if name in SLOW else self._levels(name, finder(name)(self.twin, self.task, self.inputs))
        wanted = own[EDGES]["true"] if EDGES in own else 0
        return Score(
            self.network, self.seed, name, own, {level: one["figures"] for level, one in control.items()},
            self._faithfulness(claims, wanted) if wanted else None, seconds,
        )  # fmt: skip

    def _levels(self, name: str, claims: Claims) -> dict[str, Any]:
        causal, components = self.of.causal(self.task), components_of(self.model.anatomy)
        every = levels(claims, self.of.truth, causal, components, sees_queries=name not in HOLDING)
        return {level.name: held_to(level, claims.bound, self.draws, self.seed) for level in every}

    def _faithfulness(self, claims: Claims, size: int) -> list[float] | None:
        largest = sorted(claims.edges, key=lambda edge: -abs(claims.edges[edge]))[:size]
        found = kept(self.model, self.task, largest, draws=self.draws)
        if not bool((found.clean > found.empty).any()):
            return None
        measured = found.faithfulness
        return [measured.value, *measured.null.draws]


def _twin(of: Known, seed: int) -> Model:
    """The shape of a network with the weights that GPT-2 begins training with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = GPT2LMHeadModel(of.module.config).eval()
    return open((module, of.tokenizer), certify=False)
