"""Makes `tiny`, the model that ships with microtome, with its dictionaries, from nothing but SmolLM2.

SmolLM2 writes stories of simple words; a vocabulary of 1,024 tokens and a Llama of four layers are fitted to them,
transcoders for all its layers and an SAE to the model. All of it is written into the package, and docs/tiny.md says
how it went. What an earlier run left in out/tiny is gone on with; remove that folder to begin anew.

    microtome get smollm2
    python recipes/make_tiny.py
"""

import json
import platform
import shutil
import time
from pathlib import Path
from time import strftime

import torch
import transformers
from simple_stories import stories
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import microtome as mt
from microtome.activations.config import ReadingConfig, StreamConfig
from microtome.activations.stream import Stream
from microtome.core.artefact import written_whole
from microtome.data.corpora.stories import STORIES
from microtome.data.corpus import Corpus, corpus_of
from microtome.dictionary.baseline import beside
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.named import SHIPPED
from microtome.dictionary.saving import save
from microtome.evidence import Estimate, ratio_of_sums
from microtome.metrics.explained_variance import ExplainedVariance
from microtome.model.sources.named import NAMED, ShippedModel
from microtome.toy.fit import FitConfig, fit
from microtome.toy.vocabulary import vocabulary
from microtome.train.transcoders import train_transcoders

ROOT = Path(__file__).parent.parent
OUT = ROOT / "out" / "tiny"
BATCHES = 25
"""Of 96 stories each: see `simple_stories`."""
HELD_OUT = 0.1
TOKENS, UNITS, K = 1024, 512, 16
READING = ReadingConfig(context=128, batch_rows=16)
FITTING = FitConfig(tokens=1_000_000, lr=3e-3, weight_decay=0.5)
LEARNING = {"tokens": 400_000, "batch": 512, "context": 128}
SAE_SITE = "resid.2"
FILES = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
PROMPTS = (
    "Once upon a time, there was a little dog",
    "One day, Lily went to the park. She",
    "Tom had a red ball. He",
    "The hungry bear looked for",
)


def main() -> None:
    """Text, model, dictionaries, page."""
    learned, held_out = corpus_of(stories(OUT / "stories", BATCHES)).split(HELD_OUT)
    folder, minutes = OUT / "tiny", OUT / "minutes.json"
    if not (folder / "config.json").exists():
        spent = json.loads(minutes.read_text(encoding="utf-8"))["fit"] if minutes.exists() else 0.0
        began = time.process_time()
        try:
            fitted(learned, folder)
        finally:
            minutes.write_text(json.dumps({"fit": spent + (time.process_time() - began) / 60}), encoding="utf-8")
    model = mt.open(folder)
    transcoders = train_transcoders(model, learned, units=UNITS, k=K, out=OUT / "transcoders", **LEARNING)
    sae = mt.train(
        Stream(model, learned, [SAE_SITE], StreamConfig(context=LEARNING["context"], buffer_rows=1 << 15)),
        site=SAE_SITE, units=UNITS, k=K, tokens=LEARNING["tokens"], batch=LEARNING["batch"], out=OUT / "sae",
        resume=True,
    )  # fmt: skip
    publish(folder, {"transcoders": transcoders, "sae": sae}, held_out)
    write(mt.open("tiny"), learned, held_out, json.loads(minutes.read_text(encoding="utf-8")))


def fitted(learned: Corpus, folder: Path) -> None:
    """Fits vocabulary and model; the folder appears when it is whole."""
    tokenizer = vocabulary(learned.documents(), TOKENS)
    module = network(tokenizer)
    losses = fit(module, tokenizer, learned, FITTING, reading=READING, out=OUT / "fitting")
    part = folder.with_name("part")
    tokenizer.save_pretrained(part)
    module.half().save_pretrained(part)
    config = json.loads((part / "config.json").read_text(encoding="utf-8"))
    config["dtype"] = "float32"  # opened so; 16 bits are for the disk alone
    (part / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (OUT / "losses.json").write_text(json.dumps([one.to_dict() for one in losses]), encoding="utf-8")
    part.rename(folder)


def network(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of under a million weights, drawn from seed 0."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=384, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def publish(folder: Path, dictionaries: dict[str, Dictionary], held_out: Corpus) -> None:
    """Writes everything where the package has it."""
    row = NAMED.get("tiny")
    assert isinstance(row, ShippedModel)
    row.folder.mkdir(exist_ok=True)
    for name in (
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ):
        with written_whole(row.folder / name) as temporary:
            shutil.copyfile(folder / name, temporary)
    with written_whole(row.folder / "README.md") as temporary:
        temporary.write_text(CARD, encoding="utf-8")
    for name, dictionary in dictionaries.items():
        save(dictionary, SHIPPED / "tiny" / name, dtype=torch.float16)
    with written_whole(STORIES) as temporary:
        temporary.write_text("\n".join(held_out.documents()) + "\n", encoding="utf-8")


def nats(model: mt.Model, texts: Corpus) -> Estimate:
    """Loss a character of texts that follow the model's first token, with its interval over texts."""
    losses, lengths = [], []
    for text in texts.documents():
        ids = [model.tokenizer.bos_token_id, *model.tokenizer.encode(text, add_special_tokens=False)]
        said = model.run([ids], capture=["logits"])["logits"][0, :-1].float().log_softmax(-1)
        losses.append(-float(said.gather(1, torch.tensor(ids[1:])[:, None]).sum()))
        lengths.append(len(text))
    return ratio_of_sums(losses, lengths)


def explained(
    model: mt.Model, learned: Corpus, held_out: Corpus, transcoders: Dictionary, sae: Dictionary
) -> list[list[str]]:
    """A row a dictionary: variance explained on held-out stories, beside what is no dictionary, at equal L0."""
    sites = [*transcoders.reads, *transcoders.writes, SAE_SITE]
    fitted_on, rows = (
        Stream(model, texts, sites, StreamConfig(context=128, buffer_rows=1 << 14)).batch(4000, sites)
        for texts in (learned, held_out)
    )
    x, found = rows[SAE_SITE], []
    for name, kind in {"PCA": "pca", "random directions": "random", "raw coordinates": "neurons"}.items():
        rival = beside(sae, kind, k=K, x=fitted_on[SAE_SITE])
        found.append([f"{name}, the {K} strongest", f"{variance(x, rival.reconstruct(x)):.3f}"])
    table_rows = [[f"`{SAE_SITE}`", f"{variance(x, sae.reconstruct(x)):.3f}", "; ".join(map(": ".join, found))]]
    made = transcoders.reconstruct(torch.stack([rows[site] for site in transcoders.reads], 1))
    for layer, (read, write) in enumerate(zip(transcoders.reads, transcoders.writes, strict=True)):
        linear = rank_k(fitted_on[read], fitted_on[write], rows[read])
        rival = f"linear map of rank {K}: {variance(rows[write], linear):.3f}"
        table_rows.append([f"`{read}` to `{write}`", f"{variance(rows[write], made[:, layer]):.3f}", rival])
    return table_rows


def rank_k(x: torch.Tensor, y: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """What the best linear map through K directions makes of new inputs (reduced-rank regression)."""
    means = x.mean(0), y.mean(0)
    through = torch.linalg.lstsq(x - means[0], y - means[1]).solution
    kept = torch.linalg.svd((x - means[0]) @ through, full_matrices=False).Vh[:K]
    return (new - means[0]) @ through @ kept.T @ kept + means[1]


def variance(x: torch.Tensor, x_hat: torch.Tensor) -> float:
    """Explained of held-out activations."""
    metric = ExplainedVariance()
    metric.add(x, x_hat)
    return metric.value()


CARD = """# tiny

The weights of `mt.open("tiny")`, in float16; opened in float32. Made by `recipes/make_tiny.py`, which writes
docs/tiny.md, from stories that SmolLM2-135M-Instruct (Apache-2.0) told in words of our own lists. Apache-2.0.
"""
PAGE = """# tiny, the model that ships

`mt.open("tiny")` needs no download and opens in a moment: a Llama of {layers} layers, width {width}, {parameters:,}
weights ({size:.2f} MB on the disk) with a vocabulary of {tokens:,} tokens of its own, nearly all of them whole words.
It tells stories of simple words, and little else. With it come transcoders for all its layers, an SAE, and the stories
that it was never shown:

```python
import microtome as mt

model = mt.open("tiny")
print(model.generate("Once upon a time, there was a little dog", max_new_tokens=20))
transcoders = mt.load_dictionary("tiny/transcoders")
sae = mt.load_dictionary("tiny/sae")
store = mt.harvest(model, "stories", sites=["{site}"], tokens=2000, out="store")
```

`python recipes/make_tiny.py` made all of it, from nothing but SmolLM2
({date}, {machine}, {versions}). SmolLM2-135M-Instruct (Apache-2.0) wrote {n:,} different stories
({characters:,} characters).
Each follows an opening drawn from our own word lists, and says only words of these lists (`recipes/simple_words.py`).
They, the model and its dictionaries are Apache-2.0 as the rest of microtome. The stories are often silly: it is SmolLM2
at 4 bits that made them up.

## How well it predicts

Nats a character on {held:,} held-out stories, with 95% intervals over stories.

{losses}

SmolLM2 is not told here that only some 900 words can come, nor that words tire, which it was when it wrote. tiny
learned from little text: of two fits tried, the other (1,800,000 tokens, weight decay 0.1) came to 0.429 on what it had
learned and to 0.731 [0.715, 0.746] on these held-out stories, by which this one was chosen.

Writing the stories takes some nine minutes of one core, the dictionaries a few. Fitting took {fit:.1f} minutes
of one core for {fitted:,} tokens ({epochs:.0f} times the text).

## What it says

Greedy, and one sample each (`sample=True, seed=0`).

{samples}

## Its dictionaries

TopK, {units} units, k = {k}, {learning:,} tokens each; float16 on the disk. Variance explained on held-out stories,
the first token left out, all tokens else counted.

{explained}
"""


def write(model: mt.Model, learned: Corpus, held_out: Corpus, minutes: dict[str, float]) -> None:
    """The page, by what was found alone."""
    transcoders, sae = mt.load_dictionary("tiny/transcoders"), mt.load_dictionary("tiny/sae")
    texts = list(learned.documents())
    row = NAMED.get("tiny")
    assert isinstance(row, ShippedModel)
    smollm2 = mt.open("smollm2", attention="sdpa", certify=False)
    losses = [[name, told(nats(one, held_out))] for name, one in {"tiny": model, "SmolLM2-135M": smollm2}.items()]
    losses.append(["tiny, on the first stories that it learned", told(nats(model, learned.first(200)))])
    parameters = sum(one.numel() for one in model.module.parameters())
    read = sum(len(ids) for ids in model.tokenizer(texts)["input_ids"])
    page = PAGE.format(
        layers=model.n_layers, width=model.module.config.hidden_size, parameters=parameters,
        size=(row.folder / "model.safetensors").stat().st_size / 1e6, tokens=len(model.tokenizer), site=SAE_SITE,
        date=strftime("%Y-%m-%d"), machine=f"{platform.machine()}, {torch.get_num_threads()} threads",
        versions=f"torch {torch.__version__}, transformers {transformers.__version__}",
        n=len(texts) + len(list(held_out.documents())), held=len(list(held_out.documents())),
        characters=sum(map(len, [*texts, *held_out.documents()])), losses=table(["model", "nats a character"], losses),
        fit=minutes["fit"], fitted=FITTING.tokens, epochs=FITTING.tokens / read, samples=samples(model), units=UNITS,
        k=K, learning=LEARNING["tokens"],
        explained=table(
            ["where", "variance explained", "by others with as many numbers a token"],
            explained(model, learned, held_out, transcoders, sae),
        ),
    )  # fmt: skip
    (ROOT / "docs" / "tiny.md").write_text(page, encoding="utf-8")


def samples(model: mt.Model) -> str:
    """What it makes of the prompts."""
    said = []
    for prompt in PROMPTS:
        for sample in (False, True):
            (rest,) = model.generate([prompt], max_new_tokens=40, sample=sample, seed=0)
            said.append(f"> **{prompt}**{rest}")
    return "\n\n".join(said)


def told(one: Estimate) -> str:
    """A value with its interval."""
    return f"{one.value:.3f}" + ("" if one.interval is None else f" [{one.interval[0]:.3f}, {one.interval[1]:.3f}]")


def table(head: list[str], rows: list[list[str]]) -> str:
    """In Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


if __name__ == "__main__":
    main()
