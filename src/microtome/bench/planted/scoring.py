"""Scores of every way on every kind of planted activations, a file each, so that a run that was stopped goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from microtome.bench.planted.config import KINDS, SuiteConfig
from microtome.bench.planted.ways import (
    HELD,
    NULLS,
    Place,
    Tuned,
    all_architectures,
    mean_l0,
    null,
    penalty_of,
    stream,
    trained,
    tuned,
)
from microtome.core.artefact import RunCard, read_artefact, write_json
from microtome.core.errors import FormatError, WrongUse
from microtome.core.progress import working
from microtome.toy.planted.scoring import Recovery, recovery

SCORE, TUNING, FORMAT = "planted score", "planted tuning", 1
NOTHING = Recovery(0.0, 0.0, 1.0, 0.0, None, None, None, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Score:
    """One dictionary against the truth.

    Attributes:
        place: kind, way and seed.
        recovery: its figures; nothing found where no unit fires.
        settings: of the architecture, beside its defaults.
        seconds: of making it.
    """

    place: Place
    recovery: Recovery
    settings: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Scores:
    """All of a suite.

    Attributes:
        config: how it ran.
        architectures: those scored; nulls are `NULLS`.
        scores: every kind, way and seed.
        tuned: by kind and architecture, how its penalty was chosen; without those that have a k.
        card: how it was made.
    """

    config: SuiteConfig
    architectures: tuple[str, ...]
    scores: tuple[Score, ...]
    tuned: dict[tuple[str, str], Tuned]
    card: RunCard

    def of(self, kind: str, way: str, figure: str) -> list[float]:
        """A figure of every seed in which it is defined, in the order of seeds."""
        own = [one for one in self.scores if (one.place.kind, one.place.way) == (kind, way)]
        values = [one.recovery.to_dict()[figure] for one in sorted(own, key=lambda one: one.place.seed)]
        return [value for value in values if value is not None]

    @property
    def seconds(self) -> float:
        """Of all trainings that are scored."""
        return sum(one.seconds for one in self.scores)


def score(out: str | Path, config: SuiteConfig | None = None, architectures: Sequence[str] | None = None) -> Scores:
    """Scores architectures and nulls on planted activations, or takes from the folder what lies there already.

    Every kind, way and seed is a file of its own, written whole or not at all; one that was made with other settings is
    made again.

    Args:
        out: folder for the files.
        config: see `SuiteConfig`.
        architectures: which; all of the registry by default.

    Raises:
        UnknownName: no architecture has that name.
        WrongUse: one has neither a k nor a known penalty; the folder cannot be written to.
    """
    config, names, folder = config or SuiteConfig(), tuple(architectures or all_architectures()), Path(out)
    for name in names:
        penalty_of(name)  # refuses before anything is trained
    tunings = [(kind, name) for kind in config.kinds for name in names if penalty_of(name)]
    places = [Place(kind, way, seed) for seed in range(config.seeds) for kind in config.kinds for way in names + NULLS]
    penalties: dict[tuple[str, str], Tuned] = {}
    scores: list[Score] = []
    with working("planted dictionaries", len(tunings) + len(places)) as step:
        for kind, name in tunings:
            step.say(f"{kind}: {name}, tuning")
            penalties[kind, name] = _tuning(folder, kind, name, config)
            step()
        for place in places:
            step.say(f"{place.kind}: {place.way}, seed {place.seed}")
            scores.append(_score(folder, place, config, penalties.get((place.kind, place.way))))
            step()
    card = RunCard("planted suite", FORMAT, config.tuned_with, config.to_dict())
    return Scores(config, names, tuple(scores), penalties, card)


def _score(folder: Path, place: Place, config: SuiteConfig, penalty: Tuned | None) -> Score:
    settings = _settings(place, config, penalty)
    path = folder / "scores" / _slug(place.kind) / f"{place.way}-{place.seed}.json"
    asked = _asked(config, place.kind) | {"way": place.way, "settings": settings}
    if (found := _kept(path, SCORE, asked, ("recovery", "seconds"))) is not None:
        return Score(place, Recovery.from_dict(found["recovery"]), settings, found["seconds"])
    start = perf_counter()
    made = null(place, config) if place.way in NULLS else trained(place, config, **settings)
    seconds = perf_counter() - start
    seed = int(stream(place.seed, HELD).initial_seed())
    fires = mean_l0(made, place, config.scored_on) > 0
    told = recovery(made, place.planted, tokens=config.scored_on, seed=seed) if fires else NOTHING
    card = RunCard(SCORE, FORMAT, place.seed, asked).to_dict()
    write_json(path, {"recovery": told.to_dict(), "seconds": seconds, "card": card})
    return Score(place, told, settings, seconds)


def _tuning(folder: Path, kind: str, name: str, config: SuiteConfig) -> Tuned:
    path = folder / "tuned" / _slug(kind) / f"{name}.json"
    asked = _asked(config, kind) | {"architecture": name, "trials": config.trials, "close": config.close}
    if (found := _kept(path, TUNING, asked, ("setting", "penalty", "trials"))) is not None:
        return Tuned(found["setting"], found["penalty"], tuple((a, b) for a, b in found["trials"]))
    made = tuned(kind, name, config)
    if made is None:
        raise WrongUse(f"tune {name!r}", found="an architecture that has a k", do="set its k")
    card = RunCard(TUNING, FORMAT, config.tuned_with, asked).to_dict()
    told = {"setting": made.setting, "penalty": made.penalty, "trials": [list(one) for one in made.trials]}
    write_json(path, {**told, "card": card})
    return made


def _settings(place: Place, config: SuiteConfig, penalty: Tuned | None) -> dict[str, Any]:
    if place.way in NULLS:
        return {}
    return {penalty.setting: penalty.penalty} if penalty else {"k": place.k}


def _asked(config: SuiteConfig, kind: str) -> dict[str, Any]:
    """The settings on which one result depends, ready for JSON: not which others are made beside it."""
    others = ("kinds", "seeds", "trials", "close", "level")
    shared = {name: value for name, value in config.to_dict().items() if name not in others}
    return shared | {"planted": KINDS[kind].to_dict()}


def _kept(path: Path, kind: str, asked: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        found = read_artefact(path, kind=kind, format=FORMAT, keys=keys)
    except FormatError:  # cut off by a crash of the machine: one result is soon made again
        return None
    return found if found["card"]["config"] == asked else None


def _slug(kind: str) -> str:
    return kind.replace(" ", "-")
