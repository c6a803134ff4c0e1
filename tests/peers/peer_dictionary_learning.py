"""dictionary_learning: saves one dictionary of every class."""

import json
from pathlib import Path

import torch
from dictionary_learning.dictionary import AutoEncoder, AutoEncoderNew, GatedAutoEncoder, JumpReluAutoEncoder
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
from dictionary_learning.trainers.top_k import AutoEncoderTopK
from dictionary_learning.utils import load_dictionary
from peer_cases import TOKENS, UNITS, D, inputs, keep, run, shaken


def kinds():
    """Name, dictionary, further settings."""
    yield "standard", AutoEncoder(D, UNITS), {}
    yield "april", AutoEncoderNew(D, UNITS), {}
    yield "gated", GatedAutoEncoder(D, UNITS), {}
    yield "jumprelu", JumpReluAutoEncoder(D, UNITS), {}
    yield "topk", AutoEncoderTopK(D, UNITS, 5), {"k": 5}
    yield "batchtopk", thresholded(BatchTopKSAE(D, UNITS, 5)), {"k": 5}
    yield "batchtopk_unset", BatchTopKSAE(D, UNITS, 5), {"k": 5}
    yield "matryoshka", thresholded(MatryoshkaBatchTopKSAE(D, UNITS, 5, [4, 4, UNITS - 8])), {"k": 5}


def thresholded(sae):
    sae.threshold.fill_(0.6)
    return sae


def make(folder: Path) -> None:
    for seed, (name, sae, more) in enumerate(kinds()):
        x, scaled = inputs(seed, TOKENS, D), name in ("jumprelu", "batchtopk")
        shaken(sae, seed)
        if scaled:
            sae.scale_biases(2.5)  # as its trainer does on saving what was trained on normalised inputs
        (folder / name).mkdir(exist_ok=True)
        torch.save(sae.state_dict(), folder / name / "ae.pt")
        trainer = {
            "dict_class": type(sae).__name__, "activation_dim": D, "dict_size": UNITS, "layer": 3, "lm_name": "gpt2",
            "submodule_name": "resid_post_layer_3", **more,
        }  # fmt: skip
        (folder / name / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {}}), encoding="utf-8")
        keep(folder, name, x, sae.encode(x), sae(x))
        if name == "standard":
            loaded, _ = load_dictionary(str(folder / name), "cpu")
            (folder / f"{name}_as_loaded").mkdir(exist_ok=True)
            keep(folder / f"{name}_as_loaded", "kept", x, loaded.encode(x), loaded(x))


if __name__ == "__main__":
    run(make, None, "dictionary-learning")
