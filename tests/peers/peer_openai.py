"""OpenAI's sparse_autoencoder, which is no package: saves TopK and ReLU autoencoders.

Run with its folder of sources on the path, as of commit 764586a: `PYTHONPATH=…/sparse_autoencoder python
peer_openai.py make FOLDER`. `make test-peers` does not run it; its vectors are kept beside the others.
"""

from pathlib import Path

import torch
from model import Autoencoder, TopK  # the module of that folder
from peer_cases import TOKENS, UNITS, D, inputs, keep, run, shaken


def kinds():
    yield "topk", Autoencoder(UNITS, D, activation=TopK(5), normalize=True)
    yield "topk_tied", Autoencoder(UNITS, D, activation=TopK(5), tied=True, normalize=True)
    yield "relu", Autoencoder(UNITS, D)


def make(folder: Path) -> None:
    for seed, (name, sae) in enumerate(kinds()):
        x = 5 * inputs(seed, TOKENS, D)
        torch.save(shaken(sae, seed).state_dict(), folder / f"{name}.pt")
        codes, info = sae.encode(x)
        keep(folder, name, x, codes, sae.decode(codes, info))


if __name__ == "__main__":
    run(make, None, "torch")
