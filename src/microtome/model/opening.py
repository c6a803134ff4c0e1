"""`microtome.open`: from whatever names a model to one whose errors have been measured."""

from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from microtome.core.progress import working
from microtome.model.anatomy import Anatomy
from microtome.model.attention import register
from microtome.model.family import FAMILIES
from microtome.model.model import Model
from microtome.model.network import Network
from microtome.model.sources.identity import fingerprint
from microtome.model.sources.load import load

Source = str | Path | tuple[nn.Module, PreTrainedTokenizerBase]


def open(
    source: Source,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    *,
    attention: str | None = None,
    certify: bool = True,
) -> Model:
    """Opens a model and measures how exactly it can be looked into.

    Args:
        source: a name (`smollm2`), a local Hugging Face folder, a `.gguf` file, a hub id, or a module in
            memory with its tokenizer. It is switched to microtome's attention, which is plain eager
            attention as long as nothing watches it. A network that no family describes keeps its own, and
            has sites by module path alone.
        dtype: of the weights; None leaves them as they were saved.
        device: None takes the best there is: cuda, then mps, then cpu.
        attention: another attention of transformers, such as `sdpa` for long texts; then nothing inside
            attention can be watched, frozen or traced.
        certify: measure the certificate; remembered, for files, until they or a library change.

    Raises:
        ModelNotFound: nothing of that name, no file, no network.
        NotSupported: quantised weights, or an encoder with a decoder.
    """
    with working(f"opening {source if isinstance(source, (str, Path)) else 'a module'}"):
        loaded = load(source, dtype=dtype, device=device, attention=attention or "eager")
        network = network_of(loaded.module)
        if isinstance(network, Anatomy) and attention is None:
            network.module.set_attn_implementation(register())
        model = Model(loaded.module, loaded.tokenizer, network, name=loaded.name, fingerprint=fingerprint(loaded))
    if certify and attention is None:
        from microtome.model.measuring import certificate_of

        model.certificate = certificate_of(model, loaded)
    return model


def network_of(module: nn.Module) -> Network:
    """The module with its family's table laid over it, or alone where it is of no family."""
    if isinstance(module, PreTrainedModel) and family_name(module) in FAMILIES:
        return anatomy_of(module)
    return Network(module)


def family_name(module: PreTrainedModel) -> str:
    """The family that a module is of: its `model_type`, or the one that its class or an ancestor was made for.

    A config with a `model_type` of its own, or a class derived from a known one, is a member of the family as long as
    its certificate says so.
    """
    ancestors = [one for one in type(module).__mro__ if issubclass(one, PreTrainedModel)]
    made_for = [one.config_class.model_type for one in ancestors if one.config_class is not None]
    kinds = [module.config.model_type, *made_for]
    return next((kind for kind in kinds if kind in FAMILIES), kinds[0])


def anatomy_of(module: PreTrainedModel) -> Anatomy:
    """Lays its family's table over a module.

    Raises:
        UnknownName: no family is called like its `model_type`, nor was its class made for one.
        NotSupported: the module lacks what the table names.
    """
    anatomy = Anatomy(module, FAMILIES.get(family_name(module)))
    if any(layer.experts is not None for layer in anatomy.layers):
        # The grouped kernels refuse float64 and differ from the plain loop in the last bits.
        module.set_experts_implementation("eager")
    return anatomy
