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
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from one_layer_texts import Document, documents, few_documents
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

import microtome as mt
from microtome.activations.config import ReadingConfig
from microtome.core.artefact import written_whole
from microtome.data.corpus import Corpus, corpus_of
from microtome.toy.fit import FitConfig, fit
from microtome.toy.vocabulary import vocabulary

ROOT = Path(__file__).parent.parent
SITE = "mlp.neurons.0"
CONTEXT = 128
HELD_OUT = 5  # every fifth document


@dataclass(frozen=True)
class Plan:
    """How large everything is.

    Attributes:
        vocabulary: tokens of the model's own.
        fitting: of the model.
        width, neurons: of the model.
    """

    vocabulary: int = 2048
    width: int = 128
    neurons: int = 512
    fitting: FitConfig = FitConfig(tokens=5_000_000)


QUICK = Plan(300, 16, 32, FitConfig(tokens=2000))


def main() -> None:
    """Texts, model, dictionaries, figures, page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few documents of two kinds, and steps of training")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "one-layer-study")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    asked = parser.parse_args()
    plan = QUICK if asked.quick else Plan()
    learned, held_out = halves(few_documents() if asked.quick else documents())
    model = opened(plan, corpus_of(one.text for one in learned), asked.out)
    print(model.certificate)


def halves(found: list[Document]) -> tuple[list[Document], list[Document]]:
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
            losses = fit(module, tokenizer, learned, plan.fitting, reading=reading, out=out / "fitting")
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
