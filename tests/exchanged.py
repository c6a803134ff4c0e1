"""Dictionaries that another tool and microtome both used: compared, and made for the other tool to read."""

from pathlib import Path

import numpy as np
import torch

from microtome.dictionary.architectures.batchtopk import BatchTopK
from microtome.dictionary.architectures.gated import Gated
from microtome.dictionary.architectures.jumprelu import JumpReLU
from microtome.dictionary.architectures.matryoshka import Matryoshka
from microtome.dictionary.architectures.relu import ReLU
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.exchange import load_dictionary
from microtome.dictionary.folding import of_unit_length
from microtome.dictionary.geometry import cross_layer, layer_by_layer, sae, transcoder
from microtome.dictionary.starting import untrained

PEERS = ("circuit_tracer", "dictionary_learning", "openai", "saelens", "sparsify")
D, E, UNITS, LAYERS, TOKENS = 8, 6, 32, 3, 40
TOLERANCE = 1e-5
"""Largest difference, relative to the largest value, in float32."""


def cases(folder: Path) -> list[str]:
    """Names of what a peer left in a folder."""
    return sorted(path.name.removesuffix(".npz") for path in folder.glob("*.npz"))


def loaded(folder: Path, name: str) -> Dictionary:
    """The dictionary of a case; sites are named where its format has none."""
    path = folder / name if (folder / name).is_dir() else folder / f"{name}.pt"
    if path.suffix == ".pt":
        return load_dictionary(path, reads="resid.3")
    if name.startswith("gemma"):
        layer = "*" if name.endswith("clt") else "3"
        return load_dictionary(path, reads=f"mlp.in.{layer}", writes=f"mlp.out.{layer}")
    return load_dictionary(path)


def difference(dictionary: Dictionary, kept: Path) -> tuple[float, float]:
    """Of codes and of outputs, from what a peer made of the same inputs."""
    with np.load(kept) as found:
        x, codes, y = (torch.from_numpy(found[name]) for name in ("x", "codes", "y"))
    assert (codes > 0).any(), "nothing is active, so that nothing is compared"
    ours = dictionary.encode(x)
    return _relative(ours.dense(), codes), _relative(dictionary.reconstruct(x), y)


def _relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


def for_saelens() -> dict[str, Dictionary]:
    """One of every kind that SAELens has."""
    at, through = sae("resid.3", D, UNITS), transcoder("mlp.in.3", "mlp.out.3", D, E, UNITS)
    skip = Conventions(centred=False, skip=True)
    return {
        "relu": made(at, ReLU()),
        "relu_raw": made(at, ReLU(), Conventions(centred=False)),
        "relu_length": made(at, ReLU(), Conventions(normalised="length")),
        "relu_layer": made(at, ReLU(), Conventions(normalised="layer")),
        "gated": made(at, Gated()),
        "topk": made(at, TopK(k=4, by_norm=False)),
        "topk_by_norm": made(at, TopK(k=4)),
        "jumprelu": made(at, JumpReLU(threshold=0.5)),
        "batchtopk": made(at, BatchTopK(k=4)),
        "matryoshka": made(at, Matryoshka(k=4, by_norm=False)),
        "transcoder": made(through, ReLU()),
        "jumprelu_transcoder": made(through, JumpReLU(threshold=0.5)),
        "skip_transcoder": made(through, ReLU(), skip),
        "batchtopk_skip_transcoder": made(through, BatchTopK(k=4), skip),
    }


def for_circuit_tracer() -> dict[str, Dictionary]:
    """One of every kind that circuit-tracer has."""
    reads, writes = (tuple(f"{kind}.{layer}" for layer in range(LAYERS)) for kind in ("mlp.in", "mlp.out"))
    plain, across = layer_by_layer(reads, writes, D, D, UNITS), cross_layer(reads, writes, D, D, UNITS)
    return {
        "set_relu": made(plain, ReLU()),
        "set_batchtopk": made(plain, BatchTopK(k=4)),
        "set_skip": made(plain, JumpReLU(threshold=0.5), Conventions(centred=False, skip=True)),
        "clt_relu": made(across, ReLU()),
        "clt_jumprelu": made(across, JumpReLU(threshold=0.5)),
        "clt_batchtopk": made(across, BatchTopK(k=4)),
    }


def for_later_circuit_tracer() -> dict[str, Dictionary]:
    """What versions after 0.5.0 have besides; 0.5.0 would take it for ReLU."""
    reads, writes = (tuple(f"{kind}.{layer}" for layer in range(LAYERS)) for kind in ("mlp.in", "mlp.out"))
    return {"set_topk": made(layer_by_layer(reads, writes, D, D, UNITS), TopK(k=4))}


def made(geometry, architecture, conventions=None) -> Dictionary:
    """A dictionary with nothing at a value where mistakes cancel."""
    dictionary = untrained(geometry, architecture, conventions, seed=0, length=0.7)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in dictionary.named_parameters():
            if name.endswith(".threshold"):
                parameter.fill_(0.6)
            else:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=random))
    return dictionary


def inputs(dictionary: Dictionary) -> torch.Tensor:
    """Inputs whose mean is far from zero."""
    shape = (TOKENS, len(dictionary.reads), D) if len(dictionary.reads) > 1 else (TOKENS, D)
    return 0.7 + torch.randn(shape, generator=torch.Generator().manual_seed(2))


def as_written(dictionary: Dictionary) -> Dictionary:
    """The dictionary with activations in the unit in which they are written."""
    by_norm = isinstance(dictionary.architecture, TopK) and dictionary.architecture.by_norm
    return of_unit_length(dictionary) if by_norm else dictionary
