"""A one-layer model's MLP taken apart, after Towards Monosemanticity (Bricken et al. 2023), on two cores.

Fits a one-layer transformer to texts of nine kinds, trains a dictionary of 4,096 units on its 512 neurons, and asks
of held-out documents what the dictionary keeps of the model's loss and which contexts its units stand for, beside
everything that these figures have to beat. Each stage keeps what it made in out/one-layer-study, and a run that was
stopped goes on; remove that folder to begin anew. Writes docs/one-layer-study.md and its pictures.

    microtome get sae-probes
    python recipes/one_layer_study.py
    python recipes/one_layer_study.py --quick --out out/quick --docs out/quick   # seconds; says nothing, shows it runs
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import transformers
from one_layer_contexts import NEURONS, TRAINED, Context, activations, contexts, marks, whole_rows
from one_layer_page import page
from one_layer_texts import PROXIES, QUICK, Document, documents, few_documents
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

import microtome as mt
from microtome.activations.config import HarvestConfig, ReadingConfig, StreamConfig
from microtome.activations.store import ActivationStore
from microtome.activations.stream import Stream
from microtome.bench.config import MeasureConfig
from microtome.bench.measuring import Figure
from microtome.core.artefact import written_whole
from microtome.data.corpus import Corpus, corpus_of
from microtome.dictionary.baseline import beside
from microtome.dictionary.dictionary import Dictionary
from microtome.evidence import Measurement, Quantity
from microtome.toy.fit import FitConfig, fit
from microtome.toy.vocabulary import vocabulary
from microtome.train.job import job
from microtome.train.training import train_many

ROOT = Path(__file__).parent.parent
SITE = "mlp.neurons.0"
CONTEXT = 128
HELD_OUT = 5  # every fifth document
FITTED_ON = 65_536  # tokens to which principal components, and the length of random directions, are fitted
FROZEN = "frozen random decoder"


@dataclass(frozen=True)
class Plan:
    """How large everything is.

    Attributes:
        vocabulary: tokens of the model's own.
        width, neurons: of the model.
        fitted: tokens to which the model is fitted.
        units, k, tokens, batch: of the dictionaries and of their training.
        texts: held-out documents for which the model's loss is measured.
        draws: of shuffled labels.
        contexts: that are looked for.
    """

    vocabulary: int = 2048
    width: int = 128
    neurons: int = 512
    fitted: int = 5_000_000
    units: int = 4096
    k: int = 16
    tokens: int = 3_000_000
    batch: int = 2048
    texts: int = 500
    draws: int = 99
    contexts: tuple[str, ...] = tuple(PROXIES)


SMALL = Plan(300, 16, 32, 20_000, 64, 4, 8192, 256, 16, 9, QUICK)


def main() -> None:
    """Texts, model, dictionaries, figures, page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few documents of two kinds, and steps of training")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "one-layer-study")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    asked = parser.parse_args()
    plan = SMALL if asked.quick else Plan()
    learned, held_out = parts(few_documents() if asked.quick else documents())
    texts = corpus_of(one.text for one in learned)
    model = opened(plan, texts, asked.out)
    trained = dictionaries(plan, model, texts, asked.out)
    held_out = [cut(one, model.tokenizer) for one in held_out]
    store = harvested(model, held_out, asked.out)
    with minutes(asked.out, "measuring"):
        figures = behaviour(plan, model, store, held_out, trained, asked.out)
        found = specific(plan, model, store, held_out, trained)
    spent = json.loads((asked.out / "minutes.json").read_text(encoding="utf-8"))
    page(
        figures, found, asked.docs, width=plan.width, neurons=plan.neurons, vocabulary=len(model.tokenizer),
        parameters=sum(one.numel() for one in model.module.parameters()), fitted=plan.fitted,
        units=plan.units, k=plan.k, kinds=len({one.kind for one in held_out}),
        tokens=plan.tokens // plan.batch * plan.batch, held=len(held_out), draws=plan.draws,
        command=" ".join(["python", *sys.argv]), date=time.strftime("%Y-%m-%d"),
        machine=f"{platform.machine()}, {torch.get_num_threads()} thread(s)",
        versions=f"torch {torch.__version__}, transformers {transformers.__version__}",
        minutes=", ".join(f"{stage} {spent[stage]:.1f} minutes" for stage in spent),
    )  # fmt: skip
    print(*figures.values(), *(one.measured for one in found), sep="\n")


def specific(
    plan: Plan, model: mt.Model, store: ActivationStore, held_out: list[Document], trained: dict[str, Dictionary]
) -> list[Context]:
    """The contexts that are looked for, in the dictionary and in what it has to beat."""
    rows = whole_rows(store, CONTEXT)
    first, second = rows.half(0), rows.half(1)
    labels = {
        name: tuple(marks(held_out, model.tokenizer, half, name) for half in (first, second)) for name in plan.contexts
    }
    x = store.rows(SITE, torch.from_numpy(first.rows.ravel()[:FITTED_ON]))
    asked = trained | {
        NEURONS: beside(trained[TRAINED], "neurons"),
        "random directions": beside(trained[TRAINED], "random", k=plan.k, x=x),
    }
    said = {who: tuple(activations(one, store, SITE, half) for half in (first, second)) for who, one in asked.items()}
    return contexts(said, labels, plan.draws)


def behaviour(
    plan: Plan, model: mt.Model, store: ActivationStore, held_out: list[Document], trained: dict[str, Dictionary],
    out: Path,
) -> dict[str, Figure]:  # fmt: skip
    """What is kept of the activations and of the model's loss."""
    kept = out / "figures.json"
    if not kept.exists():
        config = MeasureConfig(n_texts=plan.texts, context=CONTEXT, fitted_on=FITTED_ON)
        found = mt.measure(
            trained[TRAINED], store, model=model, texts=[one.text for one in held_out],
            nulls={name: one for name, one in trained.items() if name != TRAINED}, config=config,
        )  # fmt: skip
        with written_whole(kept) as temporary:
            temporary.write_text(json.dumps({name: one.to_dict() for name, one in found.items()}), encoding="utf-8")
    told = json.loads(kept.read_text(encoding="utf-8"))
    return {name: (Measurement if "nulls" in one else Quantity).from_dict(one) for name, one in told.items()}


def harvested(model: mt.Model, held_out: list[Document], out: Path) -> ActivationStore:
    """The activations of the held-out documents, the first token of each left out."""
    with minutes(out, "harvesting"):
        config = HarvestConfig(context=CONTEXT)
        return mt.harvest(model, [one.text for one in held_out], [SITE], out=out / "held-out", config=config)


def dictionaries(plan: Plan, model: mt.Model, learned: Corpus, out: Path) -> dict[str, Dictionary]:
    """The dictionary, and one whose write vectors stay as they are drawn, in one pass over the same tokens."""
    jobs = [
        job(SITE, units=plan.units, k=plan.k, name=TRAINED),
        job(SITE, units=plan.units, k=plan.k, name=FROZEN, fixed_writes=True),
    ]
    with minutes(out, "training the dictionaries"):
        made = train_many(
            Stream(model, learned, [SITE], StreamConfig(context=CONTEXT)), jobs, out=out / "dictionaries", resume=True,
            tokens=plan.tokens, batch=plan.batch, doctor={"dead_units": "warn", "dense_units": "warn"},
        )  # fmt: skip
    return {one.name: dictionary for one, dictionary in zip(jobs, made, strict=True)}


def cut(document: Document, tokenizer: PreTrainedTokenizerFast) -> Document:
    """As much of a document as the model reads at once, and two tokens more, lest the last words be read otherwise."""
    spans = tokenizer(document.text, return_offsets_mapping=True)["offset_mapping"]
    return replace(document, text=document.text[: spans[: CONTEXT + 2][-1][1]])


def parts(found: list[Document]) -> tuple[list[Document], list[Document]]:
    """What is learned from, and what is held out."""
    return [one for i, one in enumerate(found) if i % HELD_OUT], found[::HELD_OUT]


@contextmanager
def minutes(out: Path, stage: str) -> Iterator[None]:
    """Adds up what a stage takes, over all the runs that it was stopped in."""
    file = out / "minutes.json"
    spent = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    began = time.monotonic()
    try:
        yield
    finally:
        spent[stage] = spent.get(stage, 0.0) + (time.monotonic() - began) / 60
        out.mkdir(parents=True, exist_ok=True)
        with written_whole(file) as temporary:
            temporary.write_text(json.dumps(spent), encoding="utf-8")


def opened(plan: Plan, learned: Corpus, out: Path) -> mt.Model:
    """The model, fitted where it is not yet."""
    folder = out / "model"
    if not folder.exists():
        with minutes(out, "fitting the model"):
            tokenizer = vocabulary(learned.first(8000).documents(), plan.vocabulary)
            module = network(plan, tokenizer)
            reading = ReadingConfig(context=CONTEXT, batch_rows=16)
            losses = fit(
                module, tokenizer, learned, FitConfig(tokens=plan.fitted), reading=reading, out=out / "fitting"
            )
        part = folder.with_name("part")
        tokenizer.save_pretrained(part)
        module.save_pretrained(part)
        (part / "losses.json").write_text(json.dumps([one.to_dict() for one in losses]), encoding="utf-8")
        part.rename(folder)
    return mt.open(folder)


def network(plan: Plan, tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    """One layer of GPT-2 with ReLU, drawn from seed 0."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=CONTEXT, n_embd=plan.width, n_layer=1, n_head=4, n_inner=plan.neurons,
        activation_function="relu", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


if __name__ == "__main__":
    main()
