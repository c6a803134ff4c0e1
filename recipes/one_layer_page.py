"""The page of the one-layer study and its pictures, from what was found alone."""

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from one_layer_contexts import NEURONS, TRAINED, Context, Judged, Parts
from one_layer_texts import PROXIES

from microtome.bench.further import Figure
from microtome.evidence import Estimate, Measurement, benjamini_hochberg, difference_of_own_ratios

COLOURS = {TRAINED: "#0072B2", NEURONS: "#D55E00", "random directions": "#7F7F7F", "frozen random decoder": "#009E73",
           "PCA": "#CC79A7", "shuffled labels": "#000000"}  # fmt: skip
MARKERS = {TRAINED: "o", NEURONS: "s", "random directions": "x", "frozen random decoder": "^", "PCA": "D",
           "shuffled labels": "|"}  # fmt: skip
CALLED = {"pca": "PCA", "random": "random directions", "neurons": NEURONS}
INSIDE, OUTSIDE = "#0072B2", "#E69F00"
PAPER = 0.79
RECOVERED = {
    "zero ablation": "cross-entropy recovered against zero ablation",
    "mean ablation": "cross-entropy recovered against mean ablation",
}


def draw_loss(figures: dict[str, Figure], path: Path) -> None:
    """The dictionary with its interval, and what it has to beat, a row each."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained", sharey=True)
    for axis, (title, name) in zip(axes, RECOVERED.items(), strict=True):
        one = evidence(figures, name)
        rows = {TRAINED: one.value} | {CALLED.get(null.name, null.name): null.mean for null in one.nulls}
        for y, (who, value) in enumerate(rows.items()):
            bars = ends(Estimate(value, one.interval)) if who == TRAINED else None
            axis.errorbar([value], [y], xerr=bars, fmt=MARKERS[who], color=COLOURS[who], markersize=9, capsize=4)
        if title == "zero ablation":
            axis.axvline(PAPER, color="0.4", linestyle="--", linewidth=1)
            axis.text(PAPER, -0.5, " 79%, the paper's", color="0.3", ha="left" if one.value < PAPER else "right")
        axis.set(xlabel=f"share of the loss that {title} costs", title=f"recovered against {title}")
        axis.set_yticks(range(len(rows)), list(rows))
        axis.set_xlim(min(0, *rows.values()), 1.02)
        axis.grid(axis="x", color="0.9")
    axes[0].set_ylim(len(rows) - 0.5, -0.9)
    save(figure, path)


def draw_contexts(found: list[Context], path: Path) -> None:
    """F1 of everyone's best unit, a row a context."""
    figure, axis = plt.subplots(figsize=(9, 0.55 * len(found) + 1.8), layout="constrained")
    for y, one in enumerate(found):
        for shift, null in zip((0.05, 0.15, 0.25, -0.25), one.measured.nulls, strict=True):
            spread = [null.mean] if len(null.draws) == 1 else [min(null.draws), null.mean, max(null.draws)]
            axis.plot(spread, [y + shift] * len(spread), MARKERS[null.name], color=COLOURS[null.name], markersize=8,
                      label=null.name if not y else None, linestyle="-" if len(spread) > 1 else "")  # fmt: skip
        estimate = Estimate(one.measured.value, one.measured.interval)
        axis.errorbar([estimate.value], [y - 0.1], xerr=ends(estimate), fmt=MARKERS[TRAINED], color=COLOURS[TRAINED],
                      markersize=8, capsize=4, label=TRAINED if not y else None)  # fmt: skip
    axis.set_yticks(range(len(found)), [one.name for one in found])
    axis.set(xlim=(-0.02, 1.02), ylim=(len(found) - 0.5, -0.5), xlabel="F1 of the best unit, on documents it was not "
             "chosen on (1 is perfect)")  # fmt: skip
    axis.grid(color="0.92")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    save(figure, path)


def draw_activations(found: list[Context], path: Path) -> None:
    """How much of all that a unit says, at each strength, it says inside its context."""
    columns = min(5, len(found))
    lines = -(-len(found) // columns)
    figure, axes = plt.subplots(2 * lines, columns, figsize=(2.7 * columns, 4.6 * lines), layout="constrained",
                                squeeze=False)  # fmt: skip
    for axis in axes.ravel()[len(found) * 2 :]:
        axis.set_visible(False)
    for number, one in enumerate(found):
        line, column = divmod(number, columns)
        for below, who in enumerate((TRAINED, NEURONS)):
            axis = axes[2 * line + below][column]
            histogram(axis, one.judged[who])
            of = "unit" if who == TRAINED else "neuron"
            axis.set_title(f"{one.name}\n{of} {one.judged[who].chosen.unit}", fontsize=11)
            if not column:
                axis.set_ylabel("% of its activation")
            if below:
                axis.set_xlabel("activation")
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2, frameon=False, fontsize=12)
    save(figure, path)


def histogram(axis: Axes, judged: Judged) -> None:
    """Stacked, each token by its activation."""
    values, inside = judged.active[judged.active > 0], judged.context[judged.active > 0]
    total = max(float(values.sum()), 1e-30)
    parts = [values[inside], values[~inside]]
    axis.hist(parts, bins=20, weights=[100 * part / total for part in parts], stacked=True, color=[INSIDE, OUTSIDE],
              label=["in the context", "elsewhere"])  # fmt: skip
    axis.axvline(judged.chosen.threshold, color="0.3", linestyle=":", linewidth=1)


def ends(one: Estimate) -> list[list[float]]:
    """How far an interval reaches below and above its value."""
    low, high = one.interval or (one.value, one.value)
    return [[max(one.value - low, 0)], [max(high - one.value, 0)]]


def save(figure: plt.Figure, path: Path) -> None:
    """As a picture of the docs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def evidence(figures: dict[str, Figure], name: str) -> Measurement:
    """A figure that is a measurement."""
    found = figures[name]
    assert isinstance(found, Measurement)
    return found


PAGE = """# A one-layer model, taken apart

After *Towards Monosemanticity* (Bricken et al. 2023), as small as two cores can do it: a transformer of one layer
({parameters:,} weights, width {width}, {neurons} ReLU neurons, a vocabulary of {vocabulary:,} tokens) is fitted to
{fitted:,} tokens of {kinds} kinds of text, and a dictionary of {units:,} units (TopK, k = {k}) to {tokens:,}
activations of its neurons. All figures are of {held:,} held-out documents. The paper's dictionaries read 8 billion
activations: what follows is its method and not its scale.

`{command}` made this page and its pictures ({date}, {machine}, {versions};
{minutes} by the clock,
whatever else the machine did).

## What is kept of the model's loss

The paper reports that its dictionary of 4,096 units (A/1) recovers 79% of the log-likelihood loss reduction that the
MLP layer provides. Here, over {documents} documents, with 95% intervals over them; a null is one draw, beside it in
brackets the interval of the dictionary's advantage.

![Loss recovered by the dictionary and by what it has to beat](pictures/one-layer-loss.png)

{loss}

{verdict}

## What units stand for

A rule that knows no model marks each context. One half of the documents chooses the unit and the threshold with the
largest F1 over tokens among all units; every figure below comes from the other half. The same choice is made among
the raw neurons (all {neurons}, not only a token's strongest), random directions and the units of the frozen random
decoder; and, {draws} times, for labels that each document has from another one, so that the luck of choosing among
{units:,} units is in the null.

![F1 of the best unit for each context](pictures/one-layer-contexts.png)

{table}

*Precision* is the paper's specificity (share in context of the tokens at which it fires), *recall* its sensitivity,
*of activation* the share in context of all that the unit says at any strength, *r* the correlation of activation and
context; in brackets the best raw neuron's. *Base* is the share of all tokens that are in context. *p* is against
shuffled labels, adjusted for {contexts} tests (Benjamini-Hochberg).

{beaten}

![Share of a unit's activation by its strength, in its context and elsewhere](pictures/one-layer-activations.png)

The dotted line is the threshold. The contexts:

{proxies}
"""


def loss_table(figures: dict[str, Figure]) -> str:
    """A row for the dictionary and for each null."""
    found = {title: evidence(figures, name) for title, name in RECOVERED.items()}
    variance = evidence(figures, "variance explained")
    columns = [*found.values(), variance]
    rows = [[TRAINED, *(told(Estimate(one.value, one.interval)) for one in columns)]]
    for number, null in enumerate(found["zero ablation"].nulls):
        cells = [one.nulls[number] for one in columns]
        rows.append(
            [CALLED.get(null.name, null.name), *(f"{one.mean:.3f} {span(one.advantage_interval)}" for one in cells)]
        )
    return table(["", *(f"loss recovered, {title}" for title in found), "variance explained"], rows)


def verdict(figures: dict[str, Figure]) -> str:
    """What the table says, in words."""
    told_of = []
    for title, name in RECOVERED.items():
        one = evidence(figures, name)
        lost = [CALLED.get(null.name, null.name) for null in one.nulls if not one.beats(null)]
        told_of.append(f"Against {title} it {'beats all of them' if not lost else 'does not beat ' + ', '.join(lost)}.")
    dead = figures["dead units"].value
    return f"{' '.join(told_of)} {dead:.0%} of the units never fired on the held-out documents."


def contexts_table(found: list[Context]) -> str:
    """A row a context."""
    adjusted = benjamini_hochberg([one.measured.nulls[0].p_value for one in found])
    rows = []
    for one, p in zip(found, adjusted, strict=True):
        unit, neuron = one.judged[TRAINED], one.judged[NEURONS]
        nulls = {null.name: null.mean for null in one.measured.nulls}
        rows.append(
            [one.name, f"{one.base:.1%}", told(Estimate(one.measured.value, one.measured.interval)),
             *(f"{nulls[who]:.3f}" for who in nulls),
             f"{share(unit.precision()):.2f} ({share(neuron.precision()):.2f})",
             f"{share(unit.recall()):.2f} ({share(neuron.recall()):.2f})",
             f"{share(unit.weighted()):.2f} ({share(neuron.weighted()):.2f})",
             f"{unit.correlation():.2f} ({neuron.correlation():.2f})", f"{p:.2g}"]
        )  # fmt: skip
    names = [null.name for null in found[0].measured.nulls]
    return table(["context", "base", "F1", *names, "precision", "recall", "of activation", "r", "p"], rows)


def beaten(found: list[Context]) -> str:
    """Which contexts have a unit that beats everything."""
    won = [one.name for one in found if all(one.measured.beats(null) for null in one.measured.nulls)]
    rest = {one.name: [null.name for null in one.measured.nulls if not one.measured.beats(null)] for one in found}
    lost = "; ".join(f"{name} ({', '.join(nulls)})" for name, nulls in rest.items() if nulls)
    said = f"The unit beats every null for {', '.join(won) or 'no context'}."
    return said + (f" It does not for {lost}." if lost else "") + "\n\n" + specificity(found)


def specificity(found: list[Context]) -> str:
    """How the dictionary's units differ from raw neurons, by intervals over documents."""
    higher = {
        "of all that it says, a larger share in context": [one.name for one in found if clearly(one, Judged.weighted)],
        "a larger precision": [one.name for one in found if clearly(one, Judged.precision)],
        "a larger recall": [one.name for one in found if clearly(one, Judged.recall)],
    }
    said = "; ".join(f"{what} for {', '.join(names) or 'none'}" for what, names in higher.items())
    return f"Than the best raw neuron it has (95% interval of the difference over documents above zero): {said}."


def clearly(one: Context, of: Callable[[Judged], Parts]) -> bool:
    """Whether the dictionary's unit has more of something than the best raw neuron."""
    interval = difference_of_own_ratios(*of(one.judged[TRAINED]), *of(one.judged[NEURONS])).interval
    return interval is not None and interval[0] > 0


def share(parts: Parts) -> float:
    """A ratio of sums; none where nothing was found."""
    above, below = parts
    return float(above.sum() / below.sum()) if below.any() else 0.0


def proxies(names: list[str]) -> str:
    """The rules."""
    return "\n".join(f"- **{name}**: {PROXIES[name][1]}" for name in names)


def told(one: Estimate) -> str:
    """A value with its interval."""
    return f"{one.value:.3f} {span(one.interval)}".rstrip()


def span(interval: tuple[float, float] | None) -> str:
    """An interval in brackets."""
    return "" if interval is None else f"[{interval[0]:.3f}, {interval[1]:.3f}]"


def table(head: list[str], rows: list[list[str]]) -> str:
    """In Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def page(figures: dict[str, Figure], found: list[Context], docs: Path, **facts: object) -> None:
    """Pictures and text."""
    draw_loss(figures, docs / "pictures" / "one-layer-loss.png")
    draw_contexts(found, docs / "pictures" / "one-layer-contexts.png")
    draw_activations(found, docs / "pictures" / "one-layer-activations.png")
    text = PAGE.format(
        loss=loss_table(figures), verdict=verdict(figures), table=contexts_table(found), beaten=beaten(found),
        proxies=proxies([one.name for one in found]), contexts=len(found),
        documents=evidence(figures, RECOVERED["zero ablation"]).n, **facts,
    )  # fmt: skip
    (docs / "one-layer-study.md").write_text(text, encoding="utf-8")
