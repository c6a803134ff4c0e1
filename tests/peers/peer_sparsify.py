"""sparsify: saves TopK autoencoders and transcoders, with and without a skip."""

from pathlib import Path

import torch
from peer_cases import TOKENS, UNITS, D, inputs, keep, run, shaken
from sparsify import SparseCoder, SparseCoderConfig

KINDS = {
    "layers.3": {},
    "layers.3.self_attn": {"k": 13},
    "h.3": {"skip_connection": True},
    "layers.3.mlp": {"transcode": True},
    "layers.4.mlp": {"transcode": True, "skip_connection": True},
    "layers.5": {"num_latents": 0, "expansion_factor": UNITS // D},
    "layers.6": {"normalize_decoder": False},
}


def make(folder: Path) -> None:
    for seed, (name, more) in enumerate(KINDS.items()):
        settings = {"num_latents": UNITS, "k": 5, "expansion_factor": 1, **more}
        coder, x = shaken(SparseCoder(D, SparseCoderConfig(**settings)), seed), inputs(seed, TOKENS, D)
        coder.save_to_disk(folder / name)
        out = coder(x)
        codes = torch.zeros(TOKENS, UNITS).scatter_(1, out.latent_indices, out.latent_acts)
        keep(folder, name, x, codes, out.sae_out)


if __name__ == "__main__":
    run(make, None, "eai-sparsify")
