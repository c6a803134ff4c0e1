"""Throughput of `model.run` beside the bare Hugging Face module, on the same batch and attention setting.

python benchmarks/capture.py
"""

import torch
from timing import machine, medians
from transformers import PreTrainedModel

import microtome as mt

ROWS, TOKENS = 8, 128
HALF = 15


def main() -> None:
    """Prints one line a case: seconds, and how many times the bare module's throughput."""
    model = mt.open("smollm2", certify=False)
    bare = mt.open("smollm2", certify=False).module
    assert isinstance(bare, PreTrainedModel)
    bare.set_attn_implementation("eager")
    ids = torch.randint(3, 40_000, (ROWS, TOKENS), generator=torch.Generator().manual_seed(0))

    def untouched() -> torch.Tensor:
        with torch.no_grad():
            return bare(ids, use_cache=False).logits

    cases = {
        "bare module, logits": untouched,
        "run, logits": lambda: model.run(ids, capture=["logits"]),
        "run, logits and resid.*": lambda: model.run(ids, capture=["logits", "resid.*"]),
        "run, logits, resid.* and mlp.neurons.*": lambda: model.run(
            ids, capture=["logits", "resid.*", "mlp.neurons.*"]
        ),
        f"run, stopped at resid.{HALF}": lambda: model.run(ids, capture=[f"resid.{HALF}"]),
    }
    assert torch.equal(untouched(), model.run(ids, capture=["logits"])["logits"])
    found = medians(cases)
    print(machine())
    print(f"SmolLM2-135M, float32, {ROWS} × {TOKENS} tokens, medians of 7 alternating runs")
    for name, seconds in found.items():
        print(f"{seconds:7.3f} s  {found['bare module, logits'] / seconds:5.2f} ×  {name}")


if __name__ == "__main__":
    main()
