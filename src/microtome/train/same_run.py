"""Whether a run that is to go on is the one that was begun: settings and data, compared by name.

A run may be made longer: more tokens are no difference.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from microtome.core.artefact import RunCard
from microtome.core.errors import WrongUse
from microtome.train.checkpoint import as_read
from microtome.train.config import RunConfig
from microtome.train.job import Job

SHOWN = 6
MOVING = ("left_out",)  # what a source counts as it goes on


def settings_of(jobs: Sequence[Job], config: RunConfig) -> dict[str, Any]:
    """All settings on which the weights of a run depend, in plain values."""
    return as_read({"jobs": [job.to_dict() for job in jobs], "config": config.shaping})


def settings_in(cards: Sequence[RunCard]) -> dict[str, Any]:
    """The same of a run that ended, by the cards of its dictionaries.

    Raises:
        WrongUse: no run left them.
    """
    if not all({"job", "run"} <= card.config.keys() for card in cards):
        raise WrongUse(
            "go on with a run", found="a dictionary that no training run left there", do="train in another folder"
        )
    config = RunConfig.from_dict(cards[0].config["run"])
    return as_read({"jobs": [card.config["job"] for card in cards], "config": config.shaping})


def check_same(now: Mapping[str, Any], before: Mapping[str, Any], *others: str) -> None:
    """Refuses to go on with another run.

    Args:
        now, before: what `settings_of` or `settings_in` gave, or a checkpoint that holds it.
        others: what else differs, in words.

    Raises:
        WrongUse: they differ otherwise than by more tokens; the message names where.
    """
    theirs = {"jobs": before["jobs"], "config": dict(before["config"])}
    if now["config"]["tokens"] > theirs["config"]["tokens"]:
        theirs["config"]["tokens"] = now["config"]["tokens"]
    if different := [*differences(dict(now), theirs), *others]:
        more = f"; and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
        raise WrongUse(
            "go on with a run that was begun otherwise", found="; ".join(different[:SHOWN]) + more,
            do="give the settings and data that it was begun with, or train anew in another folder",
        )  # fmt: skip


def data_differences(now: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    """Where the cards of two sources of batches differ; equal fingerprints say that they do not."""
    if "fingerprint" in now and now["fingerprint"] == before.get("fingerprint"):
        return
    ours, theirs = ({name: one for name, one in card.items() if name not in MOVING} for card in (now, before))
    yield from differences(as_read(ours), as_read(theirs), "data")


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Where two plain values differ, in words."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            yield from differences(ours.get(key), theirs.get(key), f"{path}.{key}" if path else key)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(a, b, f"{path}[{i}]")
    elif isinstance(ours, list) and isinstance(theirs, list):
        yield f"{path} were {len(theirs)}, now {len(ours)}"
    elif ours != theirs:
        yield f"{path} was {theirs!r}, now {ours!r}"
