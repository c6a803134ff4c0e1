"""Small files in the layouts of tools that are not installed here, and what each tool makes of inputs by its formulas.

Written out densely, without any of the library's own code, after the loaders of OpenMOSS Language-Model-SAEs (Llama
Scope and Llamascopium), crosscoder_learning and dictionary_learning, and the model card of Qwen-Scope.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

D, UNITS, SITES, K = 8, 32, 2, 4
IN, OUT = "blocks.3.hook_resid_post", "blocks.3.hook_mlp_out"


@dataclass(frozen=True)
class Layout:
    """Files that were written, and how they are read.

    Attributes:
        path: of the file or folder.
        weights, settings: files inside that can be damaged; no settings where there are none.
        sites: arguments that name them, where the files do not.
        made: codes and outputs of inputs.
        x: the inputs.
    """

    path: Path
    weights: Path
    settings: Path | None
    sites: dict[str, object]
    made: Callable[[Tensor], tuple[Tensor, Tensor]]
    x: Tensor


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def inputs(*shape: int) -> Tensor:
    return 0.7 + drawn(9, *shape)


def above(pre: Tensor, bound: Tensor | float) -> Tensor:
    return pre * (pre > bound)


def strongest(scores: Tensor, values: Tensor, k: int = K) -> Tensor:
    chosen = torch.zeros_like(scores).scatter(-1, scores.topk(k).indices, 1.0)
    return values * chosen


def llama_scope(folder: Path, *, out: str = IN, norm_out: float = 5.0) -> Layout:
    """Scales folded, write vectors of length 1, then one threshold: as its initialiser makes an inference model."""
    path = folder / "Llama3_1-8B-Base-L3R-8x"
    (path / "checkpoints").mkdir(parents=True)
    W, b, dec, b_dec = drawn(1, UNITS, D), drawn(2, UNITS), drawn(3, D, UNITS), drawn(4, D)
    weights = path / "checkpoints" / "final.safetensors"
    names = ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")
    save_file(dict(zip(names, (W, b, dec, b_dec), strict=True)), weights)
    norms = {"in": 5.0, "out": norm_out}
    says = {
        "hook_point_in": IN, "hook_point_out": out, "d_model": D, "d_sae": UNITS, "act_fn": "jumprelu", "top_k": K,
        "jump_relu_threshold": 0.6, "norm_activation": "dataset-wise", "dataset_average_activation_norm": norms,
        "use_decoder_bias": True, "apply_decoder_bias_to_pre_encoder": False, "sparsity_include_decoder_norm": True,
    }  # fmt: skip
    (path / "hyperparams.json").write_text(json.dumps(says))
    s_in, s_out = (D**0.5 / norms[end] for end in ("in", "out"))

    def made(x: Tensor) -> tuple[Tensor, Tensor]:
        folded = dec.T * s_in / s_out
        length = folded.norm(dim=1)
        codes = above((x @ W.T + b / s_in) * length, 0.6)
        return codes, codes @ (folded / length[:, None]) + b_dec / s_out

    return Layout(path, weights, path / "hyperparams.json", {}, made, inputs(20, D))


def llamascopium(folder: Path, act_fn: str = "jumprelu", how: str = "dataset-wise", out: str = IN) -> Layout:
    """Inputs scaled, units chosen by pre-activation × length, outputs scaled back."""
    path = folder / "scopium"
    path.mkdir()
    W, b, dec, b_dec = drawn(1, D, UNITS), drawn(2, UNITS), drawn(3, UNITS, D), drawn(4, D)
    threshold = drawn(5, UNITS)
    norms = {IN: 5.0, OUT: 0.5}
    tensors = {"W_E": W, "b_E": b, "W_D": dec, "b_D": b_dec}
    tensors |= {f"dataset_average_activation_norm.{hook}": torch.tensor(norms[hook]) for hook in {IN, out}}
    tensors |= {"activation_function.log_jumprelu_threshold": threshold} if act_fn == "jumprelu" else {}
    save_file(tensors, path / "sae_weights.safetensors")
    says = {
        "sae_type": "sae", "hook_point_in": IN, "hook_point_out": out, "d_model": D, "expansion_factor": UNITS / D,
        "act_fn": act_fn, "top_k": K, "norm_activation": how, "sparsity_include_decoder_norm": True,
        "use_decoder_bias": True, "use_glu_encoder": False,
    }  # fmt: skip
    (path / "config.json").write_text(json.dumps(says))

    def made(x: Tensor) -> tuple[Tensor, Tensor]:
        s_in = s_out = torch.ones(())
        if how == "dataset-wise":
            s_in, s_out = torch.tensor(D**0.5 / norms[IN]), torch.tensor(D**0.5 / norms[out])
        elif how == "token-wise":
            s_in = s_out = D**0.5 / x.norm(dim=-1, keepdim=True)
        pre, length = (x * s_in) @ W + b, dec.norm(dim=1)
        codes = {
            "jumprelu": lambda: pre * (pre * length > threshold.exp()),
            "topk": lambda: strongest(pre * length, pre),
            "relu": pre.relu,
        }[act_fn]()
        return codes, (codes @ dec + b_dec) / s_out

    return Layout(path, path / "sae_weights.safetensors", path / "config.json", {}, made, inputs(20, D))


def qwen_scope(folder: Path) -> Layout:
    """The largest pre-activations of inputs as they are."""
    path = folder / f"SAE-Res-Qwen3-8B-Base-W64K-L0_{K}" / "layer3.sae.pt"
    path.parent.mkdir()
    W, b, dec, b_dec = drawn(1, UNITS, D), drawn(2, UNITS), drawn(3, D, UNITS), drawn(4, D)
    torch.save({"W_enc": W, "W_dec": dec, "b_enc": b, "b_dec": b_dec}, path)

    def made(x: Tensor) -> tuple[Tensor, Tensor]:
        pre = x @ W.T + b
        codes = strongest(pre, pre)
        return codes, codes @ dec.T + b_dec

    return Layout(path, path, None, {}, made, inputs(20, D))


def crosscoder(folder: Path, kind: int | None = 1, *, compiled: bool = False, tables: bool = False) -> Layout:
    """One reading of all sites; with BatchTopK, active where activation × length is above a threshold."""
    path = folder / "crosscoder"
    path.mkdir()
    W, b, dec, b_dec = drawn(1, SITES, D, UNITS), drawn(2, UNITS), drawn(3, SITES, UNITS, D), drawn(4, SITES, D)
    tensors = {"encoder.weight": W, "encoder.bias": b, "decoder.bias": b_dec}
    tensors |= {f"decoder.layers.{i}.weight": dec[i] for i in range(SITES)} if tables else {"decoder.weight": dec}
    if kind is not None:
        tensors |= {"code_normalization_id": torch.tensor(kind), "k": torch.tensor(K), "threshold": torch.tensor(9.0)}
    prefix = "_orig_mod." if compiled else ""
    torch.save({f"{prefix}{name}": one for name, one in tensors.items()}, path / "ae.pt")
    says = {"code_normalization_alpha_sae": 0.5, "code_normalization_alpha_cc": 0.25}
    (path / "config.json").write_text(json.dumps(says))

    def made(x: Tensor) -> tuple[Tensor, Tensor]:
        active = (torch.einsum("tsd,sdu->tu", x, W) + b).relu()
        over_sites, whole = dec.norm(dim=2).sum(0), dec.permute(1, 0, 2).flatten(1).norm(dim=1)
        length = {1: over_sites, 2: whole, 3: 0.5 * whole + 0.25 * over_sites, 4: torch.ones(UNITS)}
        codes = active if kind is None else active * (active * length[kind] > 9.0)
        return codes, torch.einsum("tu,sud->tsd", codes, dec) + b_dec

    sites = {"reads": ("base/resid.4", "tuned/resid.4")}
    return Layout(path, path / "ae.pt", path / "config.json", sites, made, inputs(20, SITES, D))


def earlier_topk(folder: Path) -> Layout:
    """dictionary_learning before k was kept in the weights, saved while it was compiled."""
    path = folder / "earlier"
    path.mkdir()
    W, b, dec, b_dec = drawn(1, UNITS, D), drawn(2, UNITS), drawn(3, D, UNITS), drawn(4, D)
    tensors = {"encoder.weight": W, "encoder.bias": b, "decoder.weight": dec, "b_dec": b_dec}
    torch.save({f"_orig_mod.{name}": one for name, one in tensors.items()}, path / "ae.pt")
    trainer = {"dict_class": "AutoEncoderTopK", "k": K, "activation_dim": D, "dict_size": UNITS}
    (path / "config.json").write_text(json.dumps({"trainer": {**trainer, "submodule_name": "resid_post_layer_3"}}))

    def made(x: Tensor) -> tuple[Tensor, Tensor]:
        pre = ((x - b_dec) @ W.T + b).relu()
        codes = strongest(pre, pre)
        return codes, codes @ dec.T + b_dec

    return Layout(path, path / "ae.pt", path / "config.json", {}, made, inputs(20, D))


LAYOUTS: dict[str, Callable[[Path], Layout]] = {
    "llama-scope": llama_scope,
    "llama-scope transcoder": lambda folder: llama_scope(folder, out=OUT, norm_out=0.5),
    "llamascopium": llamascopium,
    "llamascopium topk": lambda folder: llamascopium(folder, "topk"),
    "llamascopium relu": lambda folder: llamascopium(folder, "relu", "inference"),
    "llamascopium tokens": lambda folder: llamascopium(folder, "topk", "token-wise"),
    "llamascopium transcoder": lambda folder: llamascopium(folder, out=OUT),
    "qwen-scope": qwen_scope,
    "crosscoder": crosscoder,
    "crosscoder whole": lambda folder: crosscoder(folder, 2, compiled=True),
    "crosscoder mixed": lambda folder: crosscoder(folder, 3, tables=True),
    "crosscoder none": lambda folder: crosscoder(folder, 4),
    "crosscoder relu": lambda folder: crosscoder(folder, None),
    "dictionary-learning before": earlier_topk,
}
