"""Sparse autoencoders on SmolLM2's residual stream at three depths, beside what nobody trained at the same L0.

Harvests a store, trains all dictionaries in one pass over it, and measures them on documents that were held out.
Everything lies in out/smollm2-saes; a run that was stopped goes on. Writes docs/smollm2-dictionaries.md and its
pictures, with the transcoders of `microtome train transcoders` where these are kept.

    python recipes/train_smollm2_saes.py            # 2 million tokens: some 50 minutes on two quiet cores, 9 GB of disk
"""

import argparse
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from time import strftime

import torch
import transformers

import microtome as mt
from microtome.activations.store import ActivationStore
from microtome.dictionary.baseline import beside
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.named import dictionary_names
from microtome.evidence import Estimate, difference_of_ratios, ratio_of_sums
from microtome.metrics.explained_variance import ExplainedVariance
from microtome.metrics.firing import DeadFraction
from microtome.metrics.metric import PerItem
from microtome.metrics.sparsity import L0
from microtome.train.job import Job, job
from microtome.train.training import train_many
from microtome.train.transcoders import summary
from microtome.view.explained import explained_figure

ROOT = Path(__file__).parent.parent
SITES = ("resid.7", "resid.15", "resid.23")
HUGE = 10.0
"""Times the median norm of a site. A token in seventy is up to eighty times as long there and owns nearly all of the
variance, so no dictionary is trained on such tokens, and each is measured without them and with them."""
HELD_OUT = 0.05
FITTED_ON = 50_000  # tokens to which principal components, and the length of random directions, are fitted
AT_ONCE = 8192
TRAINED, FROZEN = "trained", "frozen random decoder"
BASELINES = {"PCA": "pca", "random directions": "random", "raw neurons": "neurons"}
WITHOUT, WITH = f"tokens up to {HUGE:g} × the median norm", "all tokens, the very large ones too"


def main() -> None:
    """Harvests, trains, measures, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--texts", default="sae-probes")
    parser.add_argument("--sites", nargs="+", default=list(SITES))
    parser.add_argument("--tokens", type=int, default=2_000_000, help="to train on")
    parser.add_argument("--distinct", type=int, help="to harvest; by default a tenth more than are trained on")
    parser.add_argument("--units", type=int, default=8192)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--lr", type=float, default=2e-3, help="a run of a thousand steps needs a high one")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "smollm2-saes")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    asked = parser.parse_args()
    model = mt.open(asked.model, dtype="bfloat16", attention="sdpa", certify=False)
    distinct = asked.distinct or asked.tokens * 11 // 10
    store = mt.harvest(model, asked.texts, asked.sites, tokens=distinct, out=asked.out / "store")
    learned, held_out = store.split(HELD_OUT)
    learned = learned.below(HUGE)
    jobs = [one for site in asked.sites for one in jobs_at(site, asked)]
    made = train_many(
        learned, jobs, out=asked.out / "trained", resume=True, tokens=asked.tokens, batch=asked.batch,
        log_every="2%", doctor={"dead_units": "warn"},
    )  # fmt: skip
    found = [
        one
        for site in asked.sites
        for one in measured(site, dict(zip([j.name for j in jobs], made, strict=True)), learned, held_out)
    ]
    picture = asked.docs / "pictures" / "smollm2-saes.png"
    draw(found, asked.k, picture)
    write(asked, store, learned, found, asked.docs / "smollm2-dictionaries.md")


def jobs_at(site: str, asked: argparse.Namespace) -> Iterator[Job]:
    """What is trained at a site: the dictionary, and the same with write vectors that stay as they are drawn."""
    settings = {"units": asked.units, "k": asked.k, "lr": asked.lr}
    yield job(site, name=f"{site} {TRAINED}", **settings)
    yield job(site, name=f"{site} {FROZEN}", fixed_writes=True, **settings)


@dataclass(frozen=True)
class Found:
    """A dictionary on held-out documents.

    Attributes:
        site, name: where, and which.
        explained: variance explained by document, without the very large tokens and with them.
        l0: active units a token, without these.
        dead: share of units that never fired there.
    """

    site: str
    name: str
    explained: dict[str, PerItem]
    l0: float
    dead: float

    def estimate(self, which: str) -> Estimate:
        """Variance explained with its interval over documents."""
        return ratio_of_sums(self.explained[which].numerators, self.explained[which].denominators)


def measured(
    site: str, made: dict[str, Dictionary], learned: ActivationStore, held_out: ActivationStore
) -> Iterator[Found]:
    """The trained dictionary, then the baselines at its L0."""
    views = {WITHOUT: held_out.below(HUGE), WITH: held_out}
    trained = evaluated(site, TRAINED, made[f"{site} {TRAINED}"], views)
    yield trained
    yield evaluated(site, FROZEN, made[f"{site} {FROZEN}"], views)
    x = learned.rows(site, slice(FITTED_ON))
    for name, kind in BASELINES.items():
        one = beside(made[f"{site} {TRAINED}"], kind, k=round(trained.l0), x=x)
        yield evaluated(site, name, one, views)


def evaluated(site: str, name: str, dictionary: Dictionary, views: dict[str, ActivationStore]) -> Found:
    """Reads every row in view once."""
    explained, l0, dead = {}, L0(dictionary.n_units), DeadFraction(dictionary.n_units)
    for which, view in views.items():
        variance = ExplainedVariance()
        for start in range(0, len(view), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            x = view.rows(site, part)
            codes = dictionary.encode(x)
            variance.add(x, dictionary.decode(codes), view.documents[part])
            if which == WITHOUT:
                for one in (l0, dead):
                    one.add(codes.ids, codes.values, codes.offsets)
        explained[which] = variance.per_item()
    return Found(site, name, explained, l0.value(), dead.value())


def draw(found: list[Found], k: int, path: Path) -> None:
    """Both ways to measure, side by side."""
    names = list(dict.fromkeys(one.name for one in found))
    panels = {
        which: {name: {one.site: one.estimate(which) for one in found if one.name == name} for name in names}
        for which in (WITHOUT, WITH)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    explained_figure(panels, f"variance explained at L0 = {k}, held-out documents").savefig(path, dpi=110)


PAGE = """# Dictionaries of SmolLM2

{model}, texts of {texts}. `{command}` made this page ({date}, {machine}, {versions}).

## Sparse autoencoders on the residual stream

TopK, {units:,} units, k = {k}, {tokens:,} token-steps over {distinct:,} tokens of {documents:,} documents, in batches
of {batch:,} at a learning rate of {lr:g}; all dictionaries in one pass.
{huge:.2%} of the tokens have a norm over {limit:g} times the median at one of the sites: **no dictionary was trained on
them**. Figures are of documents that were held out ({held:.0%} of all), with 95% intervals over documents; *without*
leaves the very large tokens out, *with* counts every token, and is then a figure about the very large ones.

![Variance explained at three depths, without and with very large tokens, beside baselines](pictures/smollm2-saes.png)

{table}

`trained − best baseline` is paired over documents, without the very large tokens. PCA and the length of random
directions were fitted to {fitted:,} of the tokens; the frozen random decoder was trained as long, on the same batches.
"""
TRANSCODERS = """## Transcoders for every layer

A run of its own, `microtome train transcoders --model {model}` (torch {torch}, the model in {dtype}): one pass
over {texts}, {units:,} units a layer, k = {k}, a learning rate of {lr:g}.
{said}.

Tokens whose MLP output is over {limit:g} times the median at some layer are left out ({left}).
Variance explained is of tokens before they were learned from.
`mt.load_dictionary("{name}")` gives all layers as one dictionary, once the command has been run: it is not
shipped, and `microtome list dictionary` says which are at hand and how to get the others.

{table}
"""


def write(
    asked: argparse.Namespace, store: ActivationStore, learned: ActivationStore, found: list[Found], path: Path
) -> None:
    """The page, by what was found alone."""
    page = PAGE.format(
        model=store.manifest.card["model"]["name"], texts=f"`{asked.texts}`", command=" ".join(["python", *sys.argv]),
        date=strftime("%Y-%m-%d"), machine=f"{platform.machine()}, {torch.get_num_threads()} threads",
        versions=f"torch {torch.__version__}, transformers {transformers.__version__}",
        units=asked.units, k=asked.k, tokens=asked.tokens // asked.batch * asked.batch, batch=asked.batch,
        lr=asked.lr, distinct=len(learned), documents=len(learned.documents.unique()),
        huge=1 - len(store.below(HUGE)) / len(store), limit=HUGE,
        held=HELD_OUT, table=saes_table(found), fitted=min(FITTED_ON, len(learned)),
    )  # fmt: skip
    name = f"{store.manifest.card['model']['name']}/transcoders"
    path.write_text(page + (f"\n{transcoders(name)}" if name in dictionary_names() else ""), encoding="utf-8")


def saes_table(found: list[Found]) -> str:
    """A row a site and dictionary."""
    rows = []
    for one in found:
        same = [other for other in found if other.site == one.site]
        rivals = [other for other in same if other.name != TRAINED]
        advantage = ""
        if one.name == TRAINED:
            best = max(rivals, key=lambda other: other.estimate(WITHOUT).value).explained[WITHOUT]
            ours = one.explained[WITHOUT]
            advantage = told(difference_of_ratios(ours.numerators, best.numerators, ours.denominators))
        rows.append(
            [f"`{one.site}`", one.name, told(one.estimate(WITHOUT)), told(one.estimate(WITH)), f"{one.l0:.1f}",
             f"{one.dead:.1%}", advantage]
        )  # fmt: skip
    head = ["site", "dictionary", "variance explained, without", "with", "L0", "never fired", "trained − best baseline"]
    return table(head, rows)


def transcoders(name: str) -> str:
    """What their card says."""
    made = mt.load_dictionary(name)
    assert made.card is not None
    told_of, one = made.card.config, made.card.config["asked"]["jobs"][0]
    finals = {site: layer["final"] for site, layer in told_of["layers"].items()}
    rows = [
        [f"`{site}`", f"{final['variance_explained']:.3f}", f"{final['l0']:.1f}", f"{final['dead']:.1%}"]
        for site, final in finals.items()
    ]
    mean = ["mean", f"{fmean(one['variance_explained'] for one in finals.values()):.3f}", "", ""]
    left = ", ".join(f"{n:,} {why}" for why, n in made.card.data["left_out"].items() if n and why.startswith("large"))
    return TRANSCODERS.format(
        torch=made.card.libraries["torch"], dtype=made.card.model["dtype"],
        model=name.partition("/")[0], texts=f"`{made.card.data['texts']['name']}`", units=one["units"],
        k=one["architecture"]["k"], lr=told_of["layers"][one["reads"][0]]["learning_rate"],
        said=summary(made).capitalize(), limit=told_of["asked"]["reading"]["norm_limit"],
        left=left or "none", name=name, table=table(["reads", "variance explained", "L0", "dead"], [*rows, mean]),
    )  # fmt: skip


def told(one: Estimate) -> str:
    """A value with its interval."""
    return f"{one.value:.3f}" + ("" if one.interval is None else f" [{one.interval[0]:.3f}, {one.interval[1]:.3f}]")


def table(head: list[str], rows: list[list[str]]) -> str:
    """In Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


if __name__ == "__main__":
    main()
