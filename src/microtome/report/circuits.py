"""Methods held to known circuits, on one page: a table with intervals, a picture, and who solves what."""

import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from microtome.bench.circuits.finders import SHARE, TRANSCODERS, WEIGHTS
from microtome.bench.circuits.scoring import CELLS, COMPONENTS, EDGES, FIGURES, LEVELS, RANDOM, SEEN, TRAINED, UNITS
from microtome.bench.circuits.standings import ENOUGH, Standing, standings
from microtome.bench.circuits.suite import Scores, SuiteConfig, score
from microtome.core.artefact import writable, write_json, written_whole
from microtome.core.need import need
from microtome.evidence.record import plain
from microtome.report.markdown import table
from microtome.toy.compiled.programs import PROGRAMS
from microtome.toy.known import TRAINED as TRAINED_NETWORKS
from microtome.view.circuits_figure import circuits_figure

PAGE, RECORD, PICTURE = "index.md", "standings.json", "circuits.png"
DPI = 110
FINEST = (UNITS, EDGES, TRAINED)


def circuits_report(
    out: str | Path, config: SuiteConfig | None = None, finders: Sequence[str] | None = None
) -> tuple[Scores, list[Standing]]:
    """Runs the suite, or goes on with it, and writes `index.md`, its picture and `standings.json`.

    Raises:
        MissingPackage: matplotlib is not installed.
        UnknownName, WrongUse: as `score`.
    """
    folder = writable(Path(out) / PAGE).parent
    need("matplotlib.figure", extra="figures")
    scores = score(folder, config, finders)
    found = standings(scores)
    with written_whole(folder / PICTURE) as temporary:
        circuits_figure(found).savefig(temporary, dpi=DPI, format="png")
    write_json(folder / RECORD, as_record(scores, found))
    with written_whole(folder / PAGE) as temporary:
        temporary.write_text(astable(scores, found), encoding="utf-8")
    return scores, found


def as_record(scores: Scores, found: Sequence[Standing]) -> dict[str, object]:
    """Standings with all their measurements, ready for JSON."""
    return {
        "standings": [
            {"finder": one.finder, "faithfulness": None if one.faithfulness is None else one.faithfulness.to_dict(),
             "seconds": one.seconds,
             "solved": plain(one.solved), "controls": one.controls,
             "figures": [made.to_dict() for made in one.figures.values()]}
            for one in found
        ],
        "card": scores.card.to_dict(),
    }  # fmt: skip


def astable(scores: Scores, found: Sequence[Standing]) -> str:
    """The page, by what was found alone."""
    parts = ["# Known circuits", "\n".join(_how(scores)), f"![AUROC of every method by level]({PICTURE})"]
    for level in LEVELS:
        if own := [one for one in found if (level, "auroc") in one.figures]:
            parts += [
                f"## {level[0].upper()}{level[1:]}",
                _MEANING[level],
                _table(level, own, sum((name in PROGRAMS) != (level == TRAINED) for name in scores.config.names)),
            ]
    return "\n\n".join([*parts, "## Networks", _SOLVED, _networks(scores, found)]) + "\n"


_SOLVED = f"""\
*Solved by*: precision and recall reach {ENOUGH:g} in the mean over seeds, on heads and units or on edges, of trained
networks on heads and MLPs; a method that scores MLPs of programs only as wholes is not among them. *In sight, by*: the
same, of the nodes in sight."""


_MEANING = {
    COMPONENTS: "Each head, and each MLP as a whole.",
    UNITS: "Each head, and each hidden unit of each MLP.",
    SEEN: "The same, where recall and AUROC ask only for nodes that reach the answer through values of heads and "
    "through MLPs: all that can be seen while attention is held where it is.",
    TRAINED: "Each head, and each MLP as a whole, of networks that were trained: of these no more is known.",
    EDGES: "Each connection from the embedding, a head or an MLP to the queries, keys or values of a head, to an MLP "
    "or to the logits.",
}


def _how(scores: Scores) -> Iterator[str]:
    config, card = scores.config, scores.card
    versions = ", ".join(f"{name} {card.libraries[name]}" for name in ("python", "torch", "transformers"))
    yield (
        f"`{card.command}` on {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s), "
        f"{versions}."
    )
    yield ""
    programs = sum(name in PROGRAMS for name in config.names)
    if programs:
        yield (
            f"Programs compiled to GPT-2s whose circuit is known: {programs}. The seed draws where the parts stand "
            "among idle ones and decoys."
        )
    if trained := len(config.names) - programs:
        yield f"Networks that were trained and whose circuit is known: {trained}; their weights are always the same."
    yield (
        f"Each network has {config.seeds} task{'s' if config.seeds > 1 else ''}, drawn by the seed: {config.rows} "
        "pairs of inputs with different answers, of programs in one word, of trained networks in as much as may be."
    )
    yield (
        "Traces score units by gradients of the live network, and heads by gradients with attention held where it is: "
        "*neuron trace* by the default rule and by `ig-units`, *dictionary trace* in transcoders of "
        f"{TRANSCODERS['units']} units that are trained on inputs drawn anew."
    )
    yield (
        "Precision holds finds against all of the circuit, recall and AUROC ask for what of it can change an answer of "
        f"the task. A score counts as a find from {SHARE:.0%} of the metric's fall on. Figures are means over "
        "networks, each meaned over seeds, with 95% intervals over networks (BCa; of few, Student's t); networks where "
        "a figure is undefined (the precision of no find) are left out of it."
    )
    yield (
        f"Nulls: *{RANDOM}*, the same scores dealt to any node; *{CELLS}*, dealt anew inside each layer and kind; "
        f"*{WEIGHTS}*, norms of weights with as many finds as there are true ones. *Random weights* is a control: the "
        "method on a network of the same shape with random weights, held to the same circuit."
    )


def _table(level: str, own: Sequence[Standing], networks: int) -> str:
    head = ["method", "precision", "recall", "AUROC", RANDOM, CELLS, "random weights", f"both ≥ {ENOUGH:g}", "seconds"]
    if level == EDGES:
        head.insert(-1, "faithfulness (same shape)")
    rows = []
    for one in sorted(own, key=lambda one: -one.figures[level, "auroc"].value):
        nulls = {null.name: null.mean for null in one.figures[level, "auroc"].nulls}
        cells = [f"**{one.finder}**" if one.finder != WEIGHTS else f"null: {WEIGHTS}"]
        cells += [_told(one, level, figure) for figure in FIGURES]
        cells += [_number(nulls.get(RANDOM)), _number(nulls.get(CELLS)), _number(one.controls.get(level))]
        cells += [f"{len(one.solved[level])} of {networks}"]
        cells += [_kept(one)] if level == EDGES else []
        rows.append([*cells, f"{one.seconds:.1f}"])
    return table(head, rows)


def _kept(one: Standing) -> str:
    """What its edges keep, beside circuits of the same shape."""
    made = one.faithfulness
    return "—" if made is None else f"{made.value:.2f} ({made.null.mean:.2f})"


def _told(one: Standing, level: str, figure: str) -> str:
    made = one.figures.get((level, figure))
    if made is None:
        return "—"
    interval = "" if made.interval is None else " [{:.2f}, {:.2f}]".format(*made.interval)
    return f"{made.value:.2f}{interval}"


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.2f}"


def _networks(scores: Scores, found: Sequence[Standing]) -> str:
    """Which methods solve each network at the finest level at which it is known."""
    says, rows = {entry.name: entry.summary for entry in (*PROGRAMS, *TRAINED_NETWORKS)}, []
    for name in scores.config.names:
        solving = [one.finder for one in found if any(name in one.solved.get(level, ()) for level in FINEST)]
        sight = [one.finder for one in found if name in one.solved.get(SEEN, ())]
        rows.append([name, says[name], ", ".join(solving) or "—", ", ".join(sight) or "—"])
    return table(["network", "does", "solved by", "in sight, by"], rows)
