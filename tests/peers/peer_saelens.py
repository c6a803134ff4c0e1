"""SAELens: saves one dictionary of every architecture; reads those that microtome wrote."""

import json
from pathlib import Path

import numpy as np
import sae_lens as sl
import torch
from peer_cases import TOKENS, UNITS, D, E, inputs, keep, run, shaken

PLACE = {"model_name": "gpt2", "hook_name": "blocks.3.hook_resid_pre"}
HEADS = {"model_name": "gpt2", "hook_name": "blocks.3.attn.hook_z"}
MLP = {**PLACE, "hook_name": "blocks.3.mlp.hook_in", "hook_name_out": "blocks.3.hook_mlp_out"}
COMMON = {"d_in": D, "d_sae": UNITS, "dtype": "float32", "device": "cpu"}


def config(kind, place=PLACE, **more):
    return kind(**COMMON, **more, metadata=sl.saes.sae.SAEMetadata(**place))


def inference():
    """Name, dictionary: as users save them."""
    yield "standard", sl.StandardSAE(config(sl.StandardSAEConfig))
    yield "standard_raw", sl.StandardSAE(config(sl.StandardSAEConfig, apply_b_dec_to_input=False))
    yield "standard_length", sl.StandardSAE(config(sl.StandardSAEConfig, normalize_activations="constant_norm_rescale"))
    yield "standard_layer", sl.StandardSAE(config(sl.StandardSAEConfig, normalize_activations="layer_norm"))
    yield "gated", sl.GatedSAE(config(sl.GatedSAEConfig))
    yield "gated_raw", sl.GatedSAE(config(sl.GatedSAEConfig, apply_b_dec_to_input=False))
    yield "topk", sl.TopKSAE(config(sl.TopKSAEConfig, k=5))
    yield "topk_many", sl.TopKSAE(config(sl.TopKSAEConfig, k=13))
    yield "topk_by_norm", sl.TopKSAE(config(sl.TopKSAEConfig, k=5, rescale_acts_by_decoder_norm=True))
    yield "jumprelu", sl.JumpReLUSAE(config(sl.JumpReLUSAEConfig))
    yield "jumprelu_layer", sl.JumpReLUSAE(config(sl.JumpReLUSAEConfig, normalize_activations="layer_norm"))
    yield "jumprelu_heads", sl.JumpReLUSAE(config(sl.JumpReLUSAEConfig, HEADS))
    raw = {"d_out": E, "apply_b_dec_to_input": False}
    yield "transcoder", sl.Transcoder(config(sl.TranscoderConfig, MLP, **raw))
    yield "skip_transcoder", sl.SkipTranscoder(config(sl.SkipTranscoderConfig, MLP, **raw))
    yield "jumprelu_transcoder", sl.JumpReLUTranscoder(config(sl.JumpReLUTranscoderConfig, MLP, **raw))
    yield "jumprelu_skip_transcoder", sl.JumpReLUSkipTranscoder(config(sl.JumpReLUSkipTranscoderConfig, MLP, **raw))


def training():
    """Name, dictionary as training has it."""
    yield "trained_standard", sl.StandardTrainingSAE(config(sl.StandardTrainingSAEConfig))
    yield "trained_gated", sl.GatedTrainingSAE(config(sl.GatedTrainingSAEConfig))
    yield "trained_topk", sl.TopKTrainingSAE(config(sl.TopKTrainingSAEConfig, k=5))
    yield "trained_jumprelu", sl.JumpReLUTrainingSAE(config(sl.JumpReLUTrainingSAEConfig))
    yield "trained_batchtopk", sl.BatchTopKTrainingSAE(config(sl.BatchTopKTrainingSAEConfig, k=5))
    matryoshka = config(sl.MatryoshkaBatchTopKTrainingSAEConfig, k=5, matryoshka_widths=[4, 8, UNITS])
    yield "trained_matryoshka", sl.MatryoshkaBatchTopKTrainingSAE(matryoshka)


def estimated(sae, x):
    """A threshold from batches, as training estimates it."""
    if isinstance(sae, sl.BatchTopKTrainingSAE):
        for _ in range(300):
            sae.update_topk_threshold(sae.encode(x))


def make(folder: Path) -> None:
    for seed, (name, sae) in enumerate(inference()):
        x = inputs(seed, TOKENS, D)
        shaken(sae, seed).save_model(folder / name)
        codes = sae.encode(x)
        keep(folder, name, x, codes, sae(x))  # decoding uses up what normalised inputs left behind
    for seed, (name, sae) in enumerate(training(), start=50):
        x = inputs(seed, TOKENS, D)
        estimated(shaken(sae, seed), x)
        sae.save_inference_model(folder / f"{name}_saved")
        again = sl.SAE.load_from_disk(folder / f"{name}_saved")
        keep(folder, f"{name}_saved", x, again.encode(x), again(x))
        sae.save_model(folder / name)  # the same as a checkpoint of training
        keep(folder, name, x, again.encode(x), again(x))
    scaled(folder)
    old(folder)


def scaled(folder: Path) -> None:
    """A checkpoint whose factor for inputs is not folded yet, and what the folded dictionary makes of raw inputs."""
    kinds = {
        "scaled_standard": sl.StandardTrainingSAE(
            config(sl.StandardTrainingSAEConfig, normalize_activations="expected_average_only_in")
        ),
        "scaled_batchtopk": sl.BatchTopKTrainingSAE(
            config(sl.BatchTopKTrainingSAEConfig, k=5, normalize_activations="expected_average_only_in")
        ),
    }
    for seed, (name, sae) in enumerate(kinds.items(), start=80):
        x, scaler = inputs(seed, TOKENS, D), sl.training.activation_scaler.ActivationScaler()
        scaler.scaling_factor = 0.37
        estimated(shaken(sae, seed), scaler(x))
        sae.save_model(folder / name)
        scaler.save(str(folder / name / "activation_scaler.json"))
        sae.fold_activation_norm_scaling_factor(0.37)
        sae.save_inference_model(folder / f"{name}_folded")
        folded = sl.SAE.load_from_disk(folder / f"{name}_folded")
        for one in (name, f"{name}_folded"):
            keep(folder, one, x, folded.encode(x), folded(x))


def old(folder: Path) -> None:
    """Settings as they were before version 6: flat."""
    sae = shaken(sl.TopKSAE(config(sl.TopKSAEConfig, k=4)), 99)
    sae.save_model(folder / "flat_topk")
    settings = {
        "architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4},
        "hook_name": PLACE["hook_name"], "hook_layer": 3, "hook_head_index": None, "model_name": "gpt2", "d_in": D,
        "d_sae": UNITS, "dtype": "float32", "device": "cpu", "normalize_activations": "none",
        "apply_b_dec_to_input": True, "finetuning_scaling_factor": False,
    }  # fmt: skip
    (folder / "flat_topk" / "cfg.json").write_text(json.dumps(settings), encoding="utf-8")
    x, again = inputs(99, TOKENS, D), sl.SAE.load_from_disk(folder / "flat_topk")
    keep(folder, "flat_topk", x, again.encode(x), again(x))


def read(folder: Path) -> None:
    """For every dictionary in the folder: what SAELens makes of the inputs in NAME.x.npy."""
    for path in sorted(one for one in folder.iterdir() if one.is_dir()):
        sae, x = sl.SAE.load_from_disk(path), torch.from_numpy(np.load(folder / f"{path.name}.x.npy"))
        keep(folder, path.name, x, sae.encode(x), sae(x))


if __name__ == "__main__":
    run(make, read, "sae-lens")
