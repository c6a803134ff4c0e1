"""TransformerLens: edge attribution patching by its hooks, on a small random GPT-2.

Since 4.0 it runs the module of transformers inside a bridge, with a hook at every reader's own input.
"""

from pathlib import Path

import numpy as np
import torch
from peer_cases import run
from transformer_lens.model_bridge.sources import build_bridge_from_module
from transformers import GPT2Config, GPT2LMHeadModel

LAYERS, HEADS, VOCABULARY, ROWS, LENGTH = 3, 4, 53, 4, 6


def make(folder: Path) -> None:
    """Writes GPT-2 as transformers does, prompts and answers, and every edge's score."""
    config = GPT2Config(
        n_layer=LAYERS, n_head=HEADS, n_embd=32, n_inner=40, vocab_size=VOCABULARY, n_positions=16,
        attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    random = torch.Generator().manual_seed(0)
    module = GPT2LMHeadModel(config).eval()
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=random)
        still = name.endswith("bias") or "ln_" in name
        parameter.copy_(noise / 2 + ("ln_" in name and "weight" in name) if still else noise * 32**-0.5)
    module.save_pretrained(folder / "gpt2")
    clean = torch.randint(1, VOCABULARY, (ROWS, LENGTH), generator=random)
    other = clean.clone()
    other[:, 1:3] = (clean[:, 1:3] + 5) % VOCABULARY
    answers = torch.stack([torch.randperm(VOCABULARY, generator=random)[:2] for _ in range(ROWS)])
    found = eap(build_bridge_from_module(module, "GPT2LMHeadModel", hf_config=config), clean, other, answers)
    sources, readers = zip(*found, strict=True)
    scores = np.array([*found.values()])
    np.savez(folder / "eap.npz", clean=clean, other=other, answers=answers, sources=sources, readers=readers,
             scores=scores)  # fmt: skip


def eap(bridge, clean: torch.Tensor, other: torch.Tensor, answers: torch.Tensor) -> dict[tuple[str, str], float]:
    """(clean − counterfactual) · gradient at the clean prompt, of every source and every later reader."""
    bridge.set_use_attn_result(True)
    bridge.set_use_split_qkv_input(True)
    bridge.set_use_hook_mlp_in(True)
    with torch.enable_grad():
        logits, here = seen(bridge, clean)
        target, against = (logits[torch.arange(ROWS), -1, answers[:, i]] for i in (0, 1))
        (target - against).sum().backward()
    _, there = seen(bridge, other)
    found: dict[tuple[str, str], float] = {}
    change = [("embed", here["blocks.0.hook_resid_pre"] - there["blocks.0.hook_resid_pre"])]

    def read(reader: str, gradient: torch.Tensor) -> None:
        for source, one in change:
            found[source, reader] = float((one * gradient).sum()) / ROWS

    for i in range(LAYERS):
        for part in "qkv":
            for j in range(HEADS):
                read(f"head.{i}.{j}.{part}", here[f"blocks.{i}.hook_{part}_input"].grad[:, :, j])
        results = here[f"blocks.{i}.attn.hook_result"] - there[f"blocks.{i}.attn.hook_result"]
        change += [(f"head.{i}.{j}", results[:, :, j]) for j in range(HEADS)]
        read(f"mlp.{i}", here[f"blocks.{i}.hook_mlp_in"].grad)
        change.append((f"mlp.{i}", here[f"blocks.{i}.hook_mlp_out"] - there[f"blocks.{i}.hook_mlp_out"]))
    read("logits", here[f"blocks.{LAYERS - 1}.hook_resid_post"].grad)
    return found


def seen(bridge, ids: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and what passes each hook: as a copy, so that its gradient is of that way alone."""
    names = ["blocks.0.hook_resid_pre", f"blocks.{LAYERS - 1}.hook_resid_post"]
    for i in range(LAYERS):
        hooks = ("hook_q_input", "hook_k_input", "hook_v_input", "attn.hook_result", "hook_mlp_in", "hook_mlp_out")
        names += [f"blocks.{i}.{name}" for name in hooks]
    kept: dict[str, torch.Tensor] = {}

    def keep(name: str):
        def hook(x: torch.Tensor, hook) -> torch.Tensor:
            kept[name] = x.clone()
            if kept[name].requires_grad:
                kept[name].retain_grad()
            return kept[name]

        return hook

    logits = bridge.run_with_hooks(ids, fwd_hooks=[(name, keep(name)) for name in names])
    return logits, kept


if __name__ == "__main__":
    run(make, None, "transformer-lens")
