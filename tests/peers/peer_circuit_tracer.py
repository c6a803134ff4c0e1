"""circuit-tracer: saves sets of transcoders and cross-layer transcoders; reads those that microtome wrote.

And Gemma Scope's files, which it reads and nobody writes: random weights laid out as the releases are.
"""

from pathlib import Path

import numpy as np
import torch
import yaml
from circuit_tracer.transcoder.activation_functions import JumpReLU
from circuit_tracer.transcoder.cross_layer_transcoder import CrossLayerTranscoder, load_gemma_scope_2_clt
from circuit_tracer.transcoder.single_layer_transcoder import (
    SingleLayerTranscoder,
    TranscoderSet,
    load_gemma_scope_2_transcoder,
    load_gemma_scope_transcoder,
)
from circuit_tracer.utils.caching import load_transcoders_from_cache
from peer_cases import TOKENS, UNITS, D, inputs, keep, run, shaken
from safetensors.torch import save_file

LAYERS = 3
HOOKS = {"feature_input_hook": "mlp.hook_in", "feature_output_hook": "hook_mlp_out"}
PLAIN = {"device": torch.device("cpu"), "dtype": torch.float32}


def one(layer, jumps, skip):
    activation = JumpReLU(torch.zeros(UNITS), 0.1) if jumps else torch.nn.functional.relu
    return SingleLayerTranscoder(D, UNITS, activation, layer, skip_connection=skip, **PLAIN)


def sets():
    """Name, the whole of it."""
    for name, jumps, skip in (("set_relu", False, False), ("set_jump", True, False), ("set_skip", True, True)):
        yield name, TranscoderSet({i: one(i, jumps, skip) for i in range(LAYERS)}, *HOOKS.values())


def cross():
    for name, activation in (("clt_relu", "relu"), ("clt_jump", "jump_relu")):
        yield name, CrossLayerTranscoder(LAYERS, UNITS, D, activation, lazy_decoder=False, **HOOKS, **PLAIN)


def make(folder: Path) -> None:
    kinds = [("transcoder_set", *each) for each in sets()] + [("cross_layer_transcoder", *each) for each in cross()]
    for seed, (kind, name, model) in enumerate(kinds):
        shaken(model, seed).to_safetensors(str(folder / name))
        config = {"model_name": "gpt2", "model_kind": kind, "scan": name, **HOOKS}
        (folder / name / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        used(folder, name, model, inputs(seed, TOKENS, LAYERS, D))
    gemma_scope(folder)


def gemma_scope(folder: Path) -> None:
    """Both releases of transcoders, and a cross-layer transcoder of the second."""
    for name in ("gemma_1", "gemma_2", "gemma_2_skip", "gemma_2_clt"):
        (folder / name).mkdir(exist_ok=True)
    one_layer = {
        "gemma_1": (folder / "gemma_1" / "params.npz", load_gemma_scope_transcoder),
        "gemma_2": (folder / "gemma_2" / "params.safetensors", load_gemma_scope_2_transcoder),
        "gemma_2_skip": (folder / "gemma_2_skip" / "params.safetensors", load_gemma_scope_2_transcoder),
    }
    for seed, (name, (path, load)) in enumerate(one_layer.items(), start=20):
        found = random_weights(seed, UNITS, D)
        if name == "gemma_1":
            np.savez(path, **{key.replace("w_", "W_"): one.numpy() for key, one in found.items()})
        else:
            skip = {"affine_skip_connection": inputs(seed + 50, D, D)} if name == "gemma_2_skip" else {}
            save_file({**found, **skip}, path)
        model, x = load(str(path), 0, device=PLAIN["device"]), inputs(seed, TOKENS, D)
        codes = model.encode(x)
        keep(folder, name, x, codes, model.decode(codes, x))
    paths = {i: str(folder / "gemma_2_clt" / f"params_layer_{i}.safetensors") for i in range(LAYERS)}
    for i, path in paths.items():
        save_file(random_weights(30 + i, UNITS, LAYERS, D), path)
    # Its loader stops before the last path, so that one more is named.
    model = load_gemma_scope_2_clt({**paths, LAYERS: ""}, **PLAIN)
    used(folder, "gemma_2_clt", model, inputs(40, TOKENS, LAYERS, D))


def random_weights(seed: int, *decoder: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    shapes = {"w_enc": (D, UNITS), "w_dec": decoder, "b_enc": (UNITS,), "b_dec": (D,), "threshold": (UNITS,)}
    found = {name: torch.randn(*shape, generator=random) for name, shape in shapes.items()}
    return {**found, "threshold": found["threshold"].abs()}


def read(folder: Path) -> None:
    """For every dictionary in the folder: what circuit-tracer makes of the inputs in NAME.x.npy."""
    for path in sorted(each for each in folder.iterdir() if each.is_dir()):
        model, _ = load_transcoders_from_cache(
            path.name, cache_dir=str(folder), lazy_decoder=False, device=PLAIN["device"], dtype=torch.float32
        )
        used(folder, path.name, model, torch.from_numpy(np.load(folder / f"{path.name}.x.npy")))


def used(folder: Path, name: str, model, x: torch.Tensor) -> None:
    """Keeps codes as `[tokens, layers · units]` and outputs as `[tokens, layers, d]`; theirs have layers first."""
    given = x.transpose(0, 1).contiguous()
    acts = model.encode(given)
    y = model.decode(acts, given)
    keep(folder, name, x, acts.transpose(0, 1).flatten(1), y.transpose(0, 1))


if __name__ == "__main__":
    run(make, read, "circuit-tracer")
