"""Which basis tells a prompt best on SmolLM2: neurons, transcoders, an SAE of the stream, and random dictionaries.

Each prompt of two tasks is cut into units of each basis, traced with as many nodes, and the same numbers of units are
kept alone. Random dictionaries are the trained ones with every read and write vector replaced by a random one of its
length: equal sparsity, nothing learned. Writes docs/which-basis-wins.md and its picture, and out/bases/*.html, the
report of one prompt of each task in each basis. What is known of a prompt lies in out/bases, so that a run that was
stopped goes on.

    microtome train transcoders --model smollm2            # the transcoders
    python recipes/train_smollm2_saes.py                   # the SAE
    python recipes/compare_bases.py                        # about 40 minutes on two quiet cores
"""

import argparse
import copy
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import strftime

import matplotlib.pyplot as plt
import torch
import transformers

import microtome as mt
from microtome.circuit.attribution import integrated, scored
from microtome.circuit.basis import Basis, side_by_side
from microtome.circuit.faithfulness import score_prompt
from microtome.circuit.naming import basis_of
from microtome.circuit.nodesets import rankings
from microtome.circuit.question import ask
from microtome.circuit.target import TokenTarget, resolve
from microtome.core.artefact import write_json
from microtome.data.row import Row, members
from microtome.data.task import Task
from microtome.dictionary.dictionary import Dictionary
from microtome.evidence import Estimate, difference_of_ratios, mean_interval, ratio_of_sums

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "out" / "bases"
TASKS = ("capitals", "ioi")
SIZES = (10, 30, 100, 300, 1000)
NODES, DRAWS = 1000, 5
TRAINED = {"transcoders": "random transcoders", "SAE at resid.15": "random SAE at resid.15"}
COLORS = {"neurons": "#444444", "transcoders": "#0b6e99", "SAE at resid.15": "#b3541e"}
INTRODUCTION = """# Which basis wins where

A **basis** is what a trace cuts a model into: its own neurons, or units of dictionaries trained on its activations.
Here {prompts} prompts of SmolLM2 ({tasks}) are told in five of them, each against its counterfactual. The transcoders
stand for all 30 MLPs (4,096 units each, 32 active), the SAE for the stream entering layer 15 (8,192 units, 32 active;
MLPs are cut into neurons beside it). A *random* dictionary is the trained one with every read and write vector
replaced by a random one of the same length: as sparse, and nothing learned.

`python recipes/compare_bases.py` made this page and its picture ({date}, {machine}, {versions}).

![Share of the change that units kept alone carry, over their number, for each basis](pictures/which-basis-wins.png)
"""
MEANING = """## What the columns say

- **replacement**: of the influence on the answer, the share that comes from tokens and not from errors. An error is
  all that no node stands for: what a dictionary does not reconstruct, what units wrote that were not chosen
  ({nodes:,} were), and what the frozen network does not give. So neurons have errors too.
- **completeness**: of what nodes are given, the share that is no error.
- **carried**: how much of the change between prompt and counterfactual goes away when *all* units take their
  counterfactual values. Errors of a dictionary stay as they are, and what they carry is missing here.
- **kept at N**: of the whole change, how much N units alone keep (units at positions, the best by attribution, all
  others at their counterfactual values). The whole change is the same for all bases, so that these can be compared.
- **advantage**: kept, less what as many random units keep that stand at the same layers and positions.

All have 95% intervals over prompts. Scores are averaged over prompts; the others are ratios of sums."""


@dataclass(frozen=True)
class Found:
    """What was found of one prompt in one basis.

    Attributes:
        replacement, completeness: scores of its graph.
        whole: change of the target from the counterfactual to the prompt.
        carried: the part of it that goes away with all units.
        kept: what the best units alone keep of it, a number a size; matched: what random ones keep, averaged.
        imbalance: the largest of the graph's rows.
        seconds: of tracing and keeping.
    """

    replacement: float
    completeness: float
    whole: float
    carried: float
    kept: tuple[float, ...]
    matched: tuple[float, ...]
    imbalance: float
    seconds: float


def main() -> None:
    """Works through all prompts, task by task and basis by basis; then writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=60, help="a task; those that the model gets wrong are left out")
    parser.add_argument("--sae", type=Path, default=ROOT / "out" / "smollm2-saes" / "trained" / "resid.15 trained")
    parser.add_argument("--transcoders", default="smollm2/transcoders")
    asked = parser.parse_args()
    model = mt.open("smollm2", certify=False)
    bases = opened(model, mt.load_dictionary(asked.transcoders), mt.load_dictionary(asked.sae))
    tasks = {name: mt.task(name, n=asked.prompts, seed=0) for name in TASKS}
    right = {name: dict(known(model, task)) for name, task in tasks.items()}
    found = {
        name: {
            basis: [find(model, row, units, kept(name, i, basis, units)) for i, row in rows.items()]
            for basis, units in bases.items()
        }
        for name, rows in right.items()
    }
    for name, rows in right.items():
        for basis, units in bases.items():
            page_of(model, next(iter(rows.values())), units, KEPT / f"{name} {basis}.html")
    draw(found, ROOT / "docs" / "pictures" / "which-basis-wins.png")
    write(found, ROOT / "docs" / "which-basis-wins.md")


def opened(model: mt.Model, transcoders: Dictionary, sae: Dictionary) -> dict[str, Basis]:
    """All five by name."""
    trained = dict(zip(TRAINED, (transcoders, sae), strict=True))
    bases = {"neurons": basis_of(model, "neurons")}
    for name, one in trained.items():
        bases |= {name: basis_of(model, one), TRAINED[name]: basis_of(model, drawn_anew(one))}
    return bases


def drawn_anew(trained: Dictionary, seed: int = 0) -> Dictionary:
    """The dictionary with random read and write vectors of the same lengths."""
    drawn, made = torch.Generator().manual_seed(seed), copy.deepcopy(trained)
    with torch.no_grad():
        for block in made.units:
            for weight in (block.W_enc, block.W_dec):
                other = torch.randn(weight.shape, generator=drawn)
                weight.copy_(other * (weight.norm(dim=1) / other.norm(dim=1))[:, None])
    return made


def known(model: mt.Model, task: Task) -> Iterator[tuple[int, Row]]:
    """Rows, by number, whose prompts have as many tokens and of which the model gets both right."""
    for i, row in enumerate(task.rows):
        ids = [model.batch(text).tokens[0] for text in (row.clean, row.counterfactual)]
        if len(ids[0]) == len(ids[1]):
            target = aimed(model, row)
            here, there = target.of(model.run(ids, target.sites), model.anatomy).tolist()
            if here > 0 > there:
                yield i, row


def aimed(model: mt.Model, row: Row) -> TokenTarget:
    """The row's answer against the other one."""
    return resolve(model, row.clean, members(row.target), members(row.against))


def kept(task: str, number: int, basis: str, units: Basis) -> Path:
    """Where what is found of a prompt lies: dictionaries with other weights are others."""
    return KEPT / basis / str(units.card.get("weights", "of the model")) / f"{task}-{number}.json"


def find(model: mt.Model, row: Row, units: Basis, path: Path) -> Found:
    """What was found before, or is now."""
    if path.exists():
        return Found(**json.loads(path.read_text()))
    start = time.perf_counter()
    question = ask(model, row.clean, row.counterfactual, aimed(model, row), units)
    clean, other = question.clean.values, question.baseline.units
    norms = side_by_side([block.norms.expand(clean.shape[1], -1) for block in question.clean.blocks])
    differs = clean != other
    scores = scored(question, integrated(question)).units
    ranked = rankings(scores, (clean - other).abs() * norms, differs, DRAWS, seed=0)
    one = score_prompt(question, ranked, SIZES)
    left = one.kept - one.empty
    graph = mt.trace(
        model, row.clean, row.counterfactual, members(row.target), members(row.against), units, max_nodes=NODES
    )
    assert graph.counterfactual_value is not None
    numbers = graph.summary_numbers
    found = Found(
        numbers["replacement_score"], numbers["completeness_score"], graph.value - graph.counterfactual_value,
        one.span, tuple(left[:, 0].tolist()), tuple(left[:, 2:].mean(1).tolist()), numbers["largest_imbalance"],
        time.perf_counter() - start,
    )  # fmt: skip
    write_json(path, asdict(found))
    return found


def page_of(model: mt.Model, row: Row, units: Basis, path: Path) -> None:
    """Trace, proof and report of one prompt."""
    graph = mt.trace(model, row.clean, row.counterfactual, members(row.target), members(row.against), units)
    proof = mt.prove(model, graph, sizes=SIZES[2:], basis=units)
    mt.report(graph, proof, path)


Figure = Callable[[Sequence[Found]], Estimate]
"""One figure of a basis over the prompts of a task."""


def share(of: Callable[[Found], float]) -> Figure:
    """A part of the whole change."""
    return lambda found: ratio_of_sums([of(one) for one in found], [one.whole for one in found])


def kept_at(i: int) -> Figure:
    """Of the best units, at one of the sizes."""
    return share(lambda one: one.kept[i])


def advantage_at(i: int) -> Figure:
    """Over random units at the same layers and positions."""
    return share(lambda one: one.kept[i] - one.matched[i])


FIGURES: dict[str, Figure] = {
    "replacement": lambda found: mean_interval([one.replacement for one in found]),
    "completeness": lambda found: mean_interval([one.completeness for one in found]),
    "carried": share(lambda one: one.carried),
    **{f"kept at {size:,}": kept_at(i) for i, size in enumerate(SIZES)},
    f"advantage at {SIZES[-2]:,}": advantage_at(len(SIZES) - 2),
}


@dataclass(frozen=True)
class Difference:
    """A trained dictionary less something else, prompt by prompt.

    Attributes:
        name, other: of both.
        scores: replacement and completeness; kept: a number a size.
    """

    name: str
    other: str
    scores: tuple[Estimate, ...]
    kept: tuple[Estimate, ...]


def differences(found: dict[str, list[Found]]) -> Iterator[Difference]:
    """Each trained dictionary less its random one, and less neurons."""
    for name, random in TRAINED.items():
        for other in (random, "neurons"):
            pairs = list(zip(found[name], found[other], strict=True))
            scores = (
                mean_interval([a.replacement - b.replacement for a, b in pairs]),
                mean_interval([a.completeness - b.completeness for a, b in pairs]),
            )
            kept = (
                difference_of_ratios(
                    [a.kept[i] for a, _ in pairs], [b.kept[i] for _, b in pairs], [a.whole for a, _ in pairs]
                )
                for i in range(len(SIZES))
            )
            yield Difference(name, other, scores, tuple(kept))


def in_short(task: str, one: Difference) -> str:
    """What a difference in what is kept says; it counts from 0.01 of the change on."""
    said: dict[str, list[str]] = {"more": [], "less": [], "no clear difference": []}
    for size, kept in zip(SIZES, one.kept, strict=True):
        low, high = kept.interval or (kept.value, kept.value)
        which = "more" if round(low, 2) > 0 else "less" if round(high, 2) < 0 else "no clear difference"
        said[which].append(f"{size:,}")
    words = "; ".join(f"{which} at {', '.join(sizes)} units" for which, sizes in said.items() if sizes)
    return f"- `{task}`, {one.name} beside {one.other}: {words}."


def shown(one: Estimate) -> str:
    """A value with its interval."""
    assert one.interval is not None
    return f"{one.value:.2f} [{one.interval[0]:.2f}, {one.interval[1]:.2f}]"


def draw(found: dict[str, dict[str, list[Found]]], path: Path) -> None:
    """What units alone keep, over their number; random dictionaries are dashed in the color of the trained one."""
    figure, axes = plt.subplots(1, len(found), figsize=(5.2 * len(found), 4.2), sharey=True, layout="constrained")
    random = {other: name for name, other in TRAINED.items()}
    for axis, (task, bases) in zip(axes, found.items(), strict=True):
        for basis, ones in bases.items():
            values = [kept_at(i)(ones) for i in range(len(SIZES))]
            color, line = COLORS[random.get(basis, basis)], "--" if basis in random else "-"
            axis.plot(SIZES, [one.value for one in values], line, marker="o", ms=3.5, color=color, label=basis)
            low, high = zip(*(one.interval or (one.value, one.value) for one in values), strict=True)
            axis.fill_between(SIZES, low, high, color=color, alpha=0.15, lw=0)
        axis.set(title=f"{task}, {len(next(iter(bases.values())))} prompts", xscale="log", xlabel="units kept alone")
        axis.axhline(0, color="#999999", lw=0.8)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("kept of the whole change")
    axes[-1].legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def write(found: dict[str, dict[str, list[Found]]], path: Path) -> None:
    """The page."""
    counts = {task: len(next(iter(bases.values()))) for task, bases in found.items()}
    parts = [
        INTRODUCTION.format(
            prompts=sum(counts.values()), tasks=", ".join(f"{n} of `{task}`" for task, n in counts.items()),
            date=strftime("%Y-%m-%d"), machine=f"{platform.machine()}, {torch.get_num_threads()} threads",
            versions=f"torch {torch.__version__}, transformers {transformers.__version__}",
        ),
        MEANING.format(nodes=NODES),
    ]  # fmt: skip
    compared = {task: list(differences(bases)) for task, bases in found.items()}
    short = [in_short(task, one) for task, every in compared.items() for one in every]
    parts.insert(1, "\n".join(["## In short\n\nKept of the whole change, at equal numbers of units:\n", *short]))
    for task, bases in found.items():
        rows = [[basis, *(shown(figure(ones)) for figure in FIGURES.values())] for basis, ones in bases.items()]
        rest = [f"kept at {size:,}" for size in SIZES]
        parts += [f"## `{task}`", table(["basis", *FIGURES], rows)]
        paired = [[f"{one.name} − {one.other}", *map(shown, (*one.scores, *one.kept))] for one in compared[task]]
        parts += [f"### `{task}`, prompt by prompt", table(["", "replacement", "completeness", *rest], paired)]
    worst = max(one.imbalance for bases in found.values() for ones in bases.values() for one in ones)
    parts.append(f"Largest imbalance of any row of any graph, relative to its absolute terms: {worst:.1e}.")
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def table(head: list[str], rows: list[list[str]]) -> str:
    """In Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


if __name__ == "__main__":
    main()
