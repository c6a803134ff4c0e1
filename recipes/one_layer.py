"""A one-layer study after 'Towards Monosemanticity' (Bricken et al. 2023), from the text to its features.

A one-layer transformer with a ReLU MLP of 512 neurons is fitted on real text of many kinds and scripts, and a
dictionary of 4,096 units on its MLP's activations. Writes docs/one-layer.md; what takes long is kept in out/one-layer
as soon as it is there, so that a run that was stopped goes on.

    microtome get sae-probes
    python recipes/one_layer.py
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

import microtome as mt
from microtome.activations.config import ReadingConfig
from microtome.data.corpus import Corpus, corpus, corpus_of
from microtome.toy.fit import FitConfig, fit
from microtome.toy.vocabulary import vocabulary

ROOT = Path(__file__).parent.parent
OUT = ROOT / "out" / "one-layer"
SETS = ("100_news_fake", "111_yelp_data", "158_code_C", "159_code_Python", "160_code_HTML", "44_phys_tf", "5?_wiki*")
MANUAL = "installation-guide-amd64"
"""A manual in some twenty languages, among them Greek, Russian, Japanese, Korean and Chinese."""
CHARACTERS = 12_000_000
"""Of each of the two corpora at most."""
PASSAGE = 480
NEURONS, WIDTH, HEADS, VOCABULARY, CONTEXT = 512, 128, 4, 4096, 160
READING = ReadingConfig(context=CONTEXT, batch_rows=64)
FITTING = FitConfig(tokens=5_000_000, lr=2e-3, weight_decay=0.02)


def passages(texts: Iterator[str], at_most: int) -> Iterator[str]:
    """Documents cut to one length, so that a batch holds many of them."""
    said = 0
    for text in texts:
        for at in range(0, min(len(text), at_most - said), PASSAGE):
            yield text[at : at + PASSAGE]
        said += len(text)
        if said >= at_most:
            return


def texts() -> tuple[Corpus, Corpus]:
    """Passages to learn from, and of other documents to test on."""
    sides: tuple[list[str], list[str]] = ([], [])
    for whole in (corpus("sae-probes", sets=SETS), corpus("debian-docs", packages=(MANUAL,))):
        for side, part, share in zip(sides, whole.split(0.05), (1.0, 0.05), strict=True):
            side.extend(passages(part.documents(), int(CHARACTERS * share)))
    learned, held_out = (corpus_of(side).mixed(seed=0) for side in sides)
    return learned, held_out


def model(learned: Corpus) -> mt.Model:
    """The one-layer transformer, fitted or as an earlier run left it."""
    folder = OUT / "model"
    if not (folder / "config.json").exists():
        tokenizer = vocabulary(learned.first(8000).documents(), VOCABULARY)
        module = network(tokenizer)
        losses = fit(module, tokenizer, learned, FITTING, reading=READING, out=OUT / "fitting")
        tokenizer.save_pretrained(OUT / "fitted")
        module.save_pretrained(OUT / "fitted")
        mt_losses = "\n".join(f"{one.at} {one.nats:.4f}" for one in losses)
        (OUT / "fitted" / "losses.txt").write_text(mt_losses + "\n", encoding="utf-8")
        (OUT / "fitted").rename(folder)
    return mt.open(folder)


def network(tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    """One layer of GPT-2 with ReLU, its weights drawn from seed 0."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=CONTEXT, n_embd=WIDTH, n_layer=1, n_head=HEADS, n_inner=NEURONS,
        activation_function="relu", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def main() -> None:
    """The model, the dictionary, the page."""
    learned, _ = texts()
    print(model(learned).certificate)


if __name__ == "__main__":
    main()
