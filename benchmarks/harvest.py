"""Harvesting beside the bare module run to the same depth, and how fast shuffled batches of a store are read.

python benchmarks/harvest.py
"""

import tempfile
import time
from pathlib import Path

import torch
from timing import machine, medians
from torch import Tensor
from transformers import PreTrainedModel

import microtome as mt
from microtome.activations.config import HarvestConfig
from microtome.activations.contexts import Contexts, Cursor
from microtome.activations.harvest import harvest
from microtome.core.errors import NotFound
from microtome.data.corpus import Corpus, corpus, corpus_of

LAYER = 15
TOKENS = 16_384
BATCH = 4_096
TRAINING = 35_000  # tokens a second that training at width 576 takes: benchmarks/train.py


class Reached(Exception):
    """The bare module has come as far as a harvest goes."""


def texts() -> Corpus:
    """Texts of every length, where their package is installed; else the sources of Python."""
    try:
        return corpus("sae-probes")
    except NotFound:
        return corpus("python-sources")


def main() -> None:
    """Prints tokens a second, and the two ratios."""
    model = mt.open("smollm2", certify=False)
    bare = mt.open("smollm2", certify=False).module
    assert isinstance(bare, PreTrainedModel)
    bare.set_attn_implementation("eager")
    read = corpus_of(list(texts().first(6_000).documents()))  # in memory: reading them is no part of the comparison
    # What a bare loop over full contexts would run: as many tokens, none of them padding.
    config = HarvestConfig()
    full = [piece.ids for _, batch in Contexts(read, model.tokenizer, config).batches(Cursor())
            for piece in batch.pieces if len(piece) == config.context][: TOKENS // config.context]  # fmt: skip
    ids = torch.stack([torch.from_numpy(one) for one in full]).split(config.batch_rows)

    def stop(*_: object) -> None:
        raise Reached

    bare.get_submodule(f"model.layers.{LAYER}").register_forward_pre_hook(stop)

    def forward() -> Tensor | None:
        for batch in ids:
            with torch.no_grad():
                try:
                    bare(batch, use_cache=False)
                except Reached:
                    continue
        return None

    def store() -> None:
        with tempfile.TemporaryDirectory() as folder:
            harvest(model, read, [f"resid.{LAYER}"], tokens=TOKENS, out=Path(folder, "store"))

    found = medians({"bare": forward, "harvest": store}, rounds=3)
    rates = {
        "bare": sum(len(one) for one in ids) * config.context / found["bare"],
        "harvest": TOKENS / found["harvest"],
    }
    print(machine())
    print(f"SmolLM2-135M, float32, to layer {LAYER}, {TOKENS:,} tokens, medians of 3 alternating runs")
    print(f"{rates['bare']:8.0f} tokens/s        bare module, full contexts, nothing kept")
    share = rates["harvest"] / rates["bare"]
    print(f"{rates['harvest']:8.0f} tokens/s  {share:4.2f} ×  harvest, tokens kept on the disk, texts tokenised")
    reading()


def reading() -> None:
    """A store of a million random rows at width 576, as bfloat16: 1.2 GB."""
    from microtome.activations.coding import row_bytes
    from microtome.activations.manifest import Manifest
    from microtome.activations.rows import Rows
    from microtome.activations.shards import Draft
    from microtome.activations.store import open_store
    from microtome.core.artefact import RunCard

    width, per_shard, shards = 576, 1 << 17, 8
    x = torch.randn(per_shard, width, generator=torch.Generator().manual_seed(0))
    told = torch.arange(per_shard)
    rows = Rows({"resid.15": x}, {"resid.15": x.square().sum(1)}, told, told, told, told < 0)
    with tempfile.TemporaryDirectory() as folder:
        draft = Draft({"resid.15": width}, "bfloat16", per_shard)
        records = []
        for number in range(shards):
            draft.add(rows)
            records.append(draft.write(Path(folder), number))
        card = RunCard("activations", 1, 0, HarvestConfig().to_dict(), {}, {}).to_dict()
        Manifest(card, {"resid.15": width}, {}, tuple(records)).save(Path(folder))
        source = open_store(folder).shuffled()
        start, count = time.perf_counter(), per_shard * shards // BATCH
        for _ in range(count):
            source.batch(BATCH, ["resid.15"])
        rate = count * BATCH / (time.perf_counter() - start)
    size = row_bytes(width, "bfloat16") * per_shard * shards / 1e9
    print(f"{rate:8.0f} tokens/s  {rate / TRAINING:4.1f} ×  shuffled batches from {size:.1f} GB, over training")


if __name__ == "__main__":
    main()
