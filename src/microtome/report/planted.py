"""Planted dictionaries on one page: tables with intervals, pictures, and what differs beyond reseeding."""

import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

import torch

from microtome.bench.planted.config import WORDS, SuiteConfig
from microtome.bench.planted.scoring import Scores, score
from microtome.bench.planted.verdicts import (
    ABSORBED,
    FIGURES,
    MATCHED,
    RECOVERED,
    SPLIT,
    Figure,
    Pair,
    Verdicts,
    estimate,
    verdicts,
)
from microtome.bench.planted.ways import NULLS, Place
from microtome.core.artefact import writable, write_json, written_whole
from microtome.core.need import need
from microtome.evidence.record import plain
from microtome.report.markdown import table
from microtome.view.planted_figure import planted_figure

PAGE, RECORD = "index.md", "verdicts.json"
RECOVERY, FAMILIES = "planted-recovery.png", "planted-families.png"
KIND, FORMAT, DPI = "planted verdicts", 1, 110


def planted_report(
    out: str | Path, config: SuiteConfig | None = None, architectures: Sequence[str] | None = None
) -> tuple[Scores, Verdicts]:
    """Runs the suite, or goes on with it, and writes `index.md`, its pictures and `verdicts.json`.

    Raises:
        MissingPackage: matplotlib is not installed.
        UnknownName, WrongUse: as `score`.
    """
    folder = writable(Path(out) / PAGE).parent
    need("matplotlib.figure", extra="figures")
    scores = score(folder, config, architectures)
    found = verdicts(scores)
    pictures = [(RECOVERY, (RECOVERED, MATCHED), list(scores.config.kinds))]
    if kinds := _with_families(scores):
        pictures.append((FAMILIES, (ABSORBED, SPLIT), kinds))
    for name, figures, kinds in pictures:
        with written_whole(folder / name) as temporary:
            planted_figure(scores, figures, kinds).savefig(temporary, dpi=DPI, format="png")
    write_json(folder / RECORD, as_record(scores, found))
    with written_whole(folder / PAGE) as temporary:
        temporary.write_text(as_markdown(scores, found), encoding="utf-8")
    return scores, found


def as_record(scores: Scores, found: Verdicts) -> dict[str, object]:
    """Measurements and pairs, ready for JSON."""
    return {
        "standings": [
            {"kind": one.kind, "architecture": one.architecture,
             "figures": {name: made.to_dict() for name, made in one.figures.items()}}
            for one in found.standings
        ],
        "pairs": [plain(one) for one in found.pairs],
        "card": scores.card.to_dict(),
    }  # fmt: skip


def as_markdown(scores: Scores, found: Verdicts) -> str:
    """The page, by what was found alone."""
    parts = ["# Planted dictionaries", "\n".join(_how(scores)), f"![{RECOVERED.words} and {MATCHED.words}]({RECOVERY})"]
    for kind in scores.config.kinds:
        parts += [f"## {kind.capitalize()}", f"{WORDS[kind].capitalize()}.", _table(scores, kind)]
        parts += [_families_table(scores, kind)] if kind in _with_families(scores) else []
        parts += ["\n".join(_said(found, kind, figure)) for figure in FIGURES if _pairs(found, kind, figure)]
    if _with_families(scores):
        parts.append(f"![{ABSORBED.words} and {SPLIT.words}]({FAMILIES})")
    return "\n\n".join([*parts, "## Penalties", _penalties(scores)]) + "\n"


def _how(scores: Scores) -> Iterator[str]:
    config, card = scores.config, scores.card
    versions = ", ".join(f"{name} {card.libraries[name]}" for name in ("python", "torch", "numpy", "scipy"))
    yield (
        f"`{card.command}` on {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s), "
        f"{versions}; making the scored dictionaries took {scores.seconds / 60:.1f} minutes."
    )
    yield ""
    yield (
        f"Every architecture gets the same {config.tokens:,} tokens in the same order (batches of {config.batch}, "
        f"learning rate {config.lr:g}), as many units as there are features, and the true mean number of active ones: "
        f"as k, or by the penalty whose L0 is nearest to it, chosen by L0 alone with seed {config.tuned_with}, "
        "which is not scored."
    )
    yield (
        f"Each of {config.seeds} seeds draws features, tokens and start anew. Intervals are Student's t over seeds; "
        "pairs are judged by Welch's test over seeds, its p-values adjusted by Benjamini and Hochberg over all pairs "
        f"on all kinds by one figure, at {1 - config.level:.0%}. Nulls are made at the same k; PCA and raw neurons "
        "have no more units than dimensions. Units of either sign lie along what they write more of."
    )


def _table(scores: Scores, kind: str) -> str:
    head = ["", RECOVERED.words, MATCHED.words, "false units", "variance explained", "L0", "dead"]
    rows = []
    for way in scores.architectures + NULLS:
        means = [fmean(scores.of(kind, way, name)) for name in ("false_units", "variance_explained", "l0", "dead")]
        name = f"null: {way}" if way in NULLS else f"**{way}**"
        rows.append([name, *(_told(scores, kind, way, one.name) for one in (RECOVERED, MATCHED)),
                     *(f"{one:.2f}" for one in means)])  # fmt: skip
    return table(head, rows)


def _families_table(scores: Scores, kind: str) -> str:
    head = ["", ABSORBED.words, "by chance", SPLIT.words]
    names = ("absorbed", "absorbed_by_chance", "parents_split")
    rows = [[f"**{way}**", *(_told(scores, kind, way, name) for name in names)] for way in scores.architectures]
    return table(head, rows)


def _said(found: Verdicts, kind: str, figure: Figure) -> Iterator[str]:
    """Which differ, the larger figure first, and how many do not."""
    pairs, differing = _pairs(found, kind, figure), found.differing(kind, figure.name)
    yield f"By {figure.words}, {len(differing)} of {len(pairs)} pairs differ by more than reseeding:"
    yield ""
    over: dict[str, list[str]] = {}
    for one in differing:
        more, less = (one.a, one.b) if one.comparison.difference.value > 0 else (one.b, one.a)
        over.setdefault(more, []).append(less)
    for more, less in sorted(over.items(), key=lambda item: -len(item[1])):
        yield f"- {more} {figure.more} than {', '.join(less)}."
    alike = [f"{one.a} and {one.b}" for one in pairs if not one.differs]
    yield f"- Not ranked: {'; '.join(alike) or 'none'}."


def _pairs(found: Verdicts, kind: str, figure: Figure) -> list[Pair]:
    return [one for one in found.pairs if (one.kind, one.figure) == (kind, figure.name)]


def _penalties(scores: Scores) -> str:
    rows = [
        [kind, name, f"{one.setting} = {one.penalty:.3g}", f"{Place(kind, name, 0).planted.config.active:g}",
         f"{dict(one.trials)[one.penalty]:.2f}", f"{fmean(scores.of(kind, name, 'l0')):.2f}", str(len(one.trials))]
        for (kind, name), one in scores.tuned.items()
    ]  # fmt: skip
    return table(["kind", "architecture", "chosen", "true L0", "L0, tuning seed", "L0, scored seeds", "trials"], rows)


def _told(scores: Scores, kind: str, way: str, figure: str) -> str:
    found = estimate(scores, kind, way, figure)
    if found is None:
        return "undefined"
    seeds = len(scores.of(kind, way, figure))
    few = "" if seeds == scores.config.seeds else f" ({seeds} seeds)"
    span = "" if found.interval is None else f" [{found.interval[0]:.2f}, {found.interval[1]:.2f}]"
    return f"{found.value:.2f}{span}{few}"


def _with_families(scores: Scores) -> list[str]:
    return [kind for kind in scores.config.kinds if Place(kind, "", 0).planted.config.children]
