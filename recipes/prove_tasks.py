"""Which rule ranks units best, and what its circuits keep, over all tasks on SmolLM2.

Rules are compared on one half of each task's prompts; the other half, which no choice has seen, gives the
figures. Writes docs/tasks.md and docs/pictures/tasks.png; each proof is kept in out/tasks as soon as it is
there, so that a run that was stopped goes on.

    python recipes/prove_tasks.py            # about 45 minutes on two quiet cores
"""

import argparse
import platform
from pathlib import Path
from time import strftime

import matplotlib.pyplot as plt
import torch
import transformers

import microtome as mt
from microtome.circuit.attribution import RULES
from microtome.circuit.weighing import ProofConfig
from microtome.data.task import TASKS, Task, task
from microtome.evidence import Measurement

SIZES = (100, 300, 1000, 3000)
DRAWS = 10
"""Matched sets a prompt and size; the null of a task's figure is drawn from all prompts' sets together."""
ROOT = Path(__file__).parent.parent
PROOFS = ROOT / "out" / "tasks"
INTRODUCTION = """# What circuits keep, task by task

{model}, neurons, {prompts} prompts a task in two halves: rules are compared on the first, everything else
is reported on the second. Figures are shares of the logit difference with 95% intervals over prompts; *kept* is
faithfulness, *left* is what stays when the circuit is removed, *area* that under faithfulness from 100 to 3,000 units
over log N. `python recipes/prove_tasks.py` made this page and its picture ({date}, {machine}, {versions}).

![Faithfulness over circuit size for each task, beside both nulls](pictures/tasks.png)

## Kept, and left without"""


def main() -> None:
    """Chooses on the first halves, reports on the second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--prompts", type=int, default=66, help="a task, both halves together")
    asked = parser.parse_args()
    model = mt.open(asked.model, certify=False)
    halves = [task(entry.name, n=asked.prompts, seed=0).halves() for entry in TASKS]
    rules = [entry.name for entry in RULES]
    chosen_on = {rule: {a.name: proof(model, a, rule, draws=1) for a, _ in halves} for rule in rules}
    best = max(rules, key=lambda rule: mean_area(chosen_on[rule]))
    reported = {
        rule: {b.name: proof(model, b, rule, DRAWS if rule == best else 1) for _, b in halves} for rule in rules
    }
    draw(reported[best], ROOT / "docs" / "pictures" / "tasks.png")
    page(asked.model, asked.prompts, best, chosen_on, reported, ROOT / "docs" / "tasks.md")


def proof(model: mt.Model, half: Task, rule: str, draws: int) -> mt.Proof:
    """Proves a half by a rule, or reads what an earlier run found."""
    sizes = "-".join(map(str, SIZES))
    kept = PROOFS / model.fingerprint / sizes / f"{half.name}-{half.fingerprint}-{rule}-{draws}.json"
    if kept.exists():
        return mt.Proof.load(kept)
    found = mt.prove(model, half, sizes=SIZES, draws=draws, config=ProofConfig(rule=rule))
    found.save(kept)
    return found


def area(of: mt.Proof) -> Measurement:
    """The area under faithfulness; several sizes were asked, so there is one."""
    assert of.area is not None
    return of.area


def mean_area(proofs: dict[str, mt.Proof]) -> float:
    """By which rules are compared: each task counts the same."""
    return sum(area(one).value for one in proofs.values()) / len(proofs)


def interval(one: Measurement) -> tuple[float, float]:
    """Of a figure over several prompts, which always has one."""
    assert one.interval is not None
    return one.interval


def told(one: Measurement) -> str:
    """A value with its interval."""
    low, high = interval(one)
    return f"{one.value:.2f} [{low:.2f}, {high:.2f}]"


def page(
    name: str,
    prompts: int,
    best: str,
    chosen_on: dict[str, dict[str, mt.Proof]],
    reported: dict[str, dict[str, mt.Proof]],
    path: Path,
) -> None:
    """Writes the tables."""
    parts = [
        INTRODUCTION.format(
            model=name,
            prompts=prompts,
            date=strftime("%Y-%m-%d"),
            machine=f"{platform.machine()}, {torch.get_num_threads()} threads",
            versions=f"torch {torch.__version__}, transformers {transformers.__version__}",
        ),
        table(
            ["task", "prompts", "kept at 300", "at 1,000", "at 3,000", "left without 1,000", "area"],
            kept_rows(reported[best]),
        ),
        "## The nulls, and the verdict\n\nThe nulls' means at the same sizes, and the verdict at 1,000 units.",
        table(
            [
                "task",
                "matched random at 300 · 1,000 · 3,000",
                "change at 300 · 1,000 · 3,000",
                "advantage over change",
                "verdict",
            ],
            null_rows(reported[best]),
        ),
        "## The rules\n\nArea under faithfulness from 100 to 3,000 units. The best on the first halves is the default.",
        table(
            [
                "rule",
                "first halves, mean",
                "second halves, mean",
                *(f"`{name}`, second half" for name in reported[best]),
            ],
            [
                [
                    f"`{rule}`" + " (best)" * (rule == best),
                    f"{mean_area(first):.3f}",
                    f"{mean_area(reported[rule]):.3f}",
                ]
                + [told(area(one)) for one in reported[rule].values()]
                for rule, first in chosen_on.items()
            ],
        ),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def table(head: list[str], rows: list[list[str]]) -> str:
    """In Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def kept_rows(proofs: dict[str, mt.Proof]) -> list[list[str]]:
    """What circuits keep, and what is left without them."""
    rows = []
    for name, one in proofs.items():
        kept = dict(zip(one.sizes, one.faithfulness, strict=True))
        left = dict(zip(one.sizes, one.completeness, strict=True))
        figures = [kept[300], kept[1000], kept[3000], left[1000], area(one)]
        rows.append([f"`{name}`", str(one.n), *map(told, figures)])
    return rows


def null_rows(proofs: dict[str, mt.Proof]) -> list[list[str]]:
    """The nulls beside them."""
    rows = []
    for name, one in proofs.items():
        kept = dict(zip(one.sizes, one.faithfulness, strict=True))
        random, change = (" · ".join(f"{kept[n].nulls[i].mean:.2f}" for n in (300, 1000, 3000)) for i in range(2))
        beside = kept[1000].nulls[1]
        low, high = beside.advantage_interval or (float("nan"), float("nan"))
        rows.append([f"`{name}`", random, change, f"{beside.advantage:.2f} [{low:.2f}, {high:.2f}]", one.verdict.words])
    return rows


def draw(full: dict[str, mt.Proof], path: Path) -> None:
    """One small panel a task: the circuit's curve with its interval, and both nulls."""
    columns = 4
    figure, axes = plt.subplots(2, columns, figsize=(13, 6), sharex=True, sharey=True, layout="constrained")
    for axis, (name, one) in zip(axes.flat, full.items(), strict=False):
        values = [x.value for x in one.faithfulness]
        axis.axhline(0, color="0.8", linewidth=0.8)
        axis.axhline(1, color="0.8", linewidth=0.8)
        axis.plot(one.sizes, values, "o-", color="#1b6ca8", label="circuit, by attribution")
        low, high = zip(*map(interval, one.faithfulness), strict=True)
        axis.fill_between(one.sizes, low, high, color="#1b6ca8", alpha=0.2)
        for i, (label, style) in enumerate((("matched random", "s:"), ("most changed", "^--"))):
            axis.plot(
                one.sizes, [x.nulls[i].mean for x in one.faithfulness], style, color=("0.45", "#c46210")[i], label=label
            )
        axis.set_title(f"{name} ({one.n} prompts)")
        axis.set_xscale("log")
    for axis in axes.flat[len(full) :]:
        axis.set_axis_off()
    axes.flat[-1].legend(*axes.flat[0].get_legend_handles_labels(), loc="center")
    figure.supxlabel("units in the circuit")
    figure.supylabel("share of the logit difference kept")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
