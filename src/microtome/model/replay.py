"""The untouched module run with its nonlinearities held, by hooks: what autograd then sees is exactly linear.

Used to measure that the frozen network is what it claims to be; nothing else needs it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microtome.core.sites import site
from microtome.model.anatomy import Anatomy, Layer
from microtome.model.attention import watched
from microtome.model.frozen import Frozen, FrozenLayer
from microtome.model.norms import Norm
from microtome.model.taps import tap


@dataclass
class Replay:
    """What a frozen pass left behind, layer by layer, still attached to its graph.

    Attributes:
        units: hidden units as the frozen gates give them from the pass's own stream, `[p, u]` a layer.
        sources: what the units' places were filled with: the same, or leaves where the pass was cut.
        logits: before any soft-cap, `[p, v]`.
    """

    units: dict[int, Tensor] = field(default_factory=dict)
    sources: dict[int, Tensor] = field(default_factory=dict)
    reads: dict[int, Tensor] = field(default_factory=dict)
    logits: Tensor = field(default_factory=lambda: torch.empty(0))


def replay(frozen: Frozen, embed: Float[Tensor, "p d"], *, cut: bool) -> Replay:
    """Runs the module on an embedding with every nonlinearity at the frozen prompt's values.

    Args:
        frozen: the prompt's frozen values.
        embed: what enters layer 0; any stream, not only the prompt's.
        cut: fill the MLPs with the prompt's own hidden units, as leaves, instead of the frozen gates'.
    """
    anatomy = frozen.anatomy
    kept = Replay()
    ids = torch.tensor([frozen.ids], device=embed.device)
    with torch.enable_grad(), ExitStack() as stack:
        stack.callback(anatomy.layers[0].block.register_forward_pre_hook(_entering(embed), with_kwargs=True).remove)
        for layer in frozen.layers:
            stack.enter_context(_held(anatomy, layer, kept, cut=cut))
        stack.enter_context(_norm_held(anatomy.final_norm_module, anatomy.final_norm, frozen.final_scale))
        keep = partial(_keep_logits, kept, anatomy.settings.logit_scale)
        stack.callback(anatomy.unembed.register_forward_hook(keep).remove)
        anatomy.module(input_ids=ids, use_cache=False)
    return kept


def _entering(embed: Tensor) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (embed[None], *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": embed[None]}

    return hook


def _keep_logits(kept: Replay, scale: float, module: nn.Module, args: Any, output: Tensor) -> None:
    kept.logits = output[0] * scale


@contextmanager
def _held(anatomy: Anatomy, frozen: FrozenLayer, kept: Replay, *, cut: bool) -> Iterator[None]:
    layer = frozen.layer
    pattern = frozen.attention.pattern[None]
    held_norms = {
        layer.family.attn_norm: (layer.attn_norm, frozen.attention.scale),
        layer.family.attn_post_norm: (layer.attn_post_norm, frozen.attention.post_scale),
        layer.family.mlp_norm: (layer.mlp_norm, frozen.mlp_scale),
        layer.family.mlp_post_norm: (layer.mlp_post_norm, frozen.mlp_post_scale),
    }
    with ExitStack() as stack:
        for path, (norm, scale) in held_norms.items():
            if path is not None and norm is not None and scale is not None:
                stack.enter_context(_norm_held(layer.part(path), norm, scale))
        stack.enter_context(watched({layer.attention: lambda name, x: pattern if name == "pattern" else x}))
        stack.enter_context(_units_held(anatomy, frozen, kept, cut=cut))
        yield


@contextmanager
def _norm_held(module: nn.Module, norm: Norm, scale: Tensor) -> Iterator[None]:
    def hook(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        out = norm.push(args[0], scale)
        return out if norm.bias is None else out + norm.bias

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _units_held(anatomy: Anatomy, frozen: FrozenLayer, kept: Replay, *, cut: bool) -> Iterator[None]:
    """Puts frozen hidden units where the module computed its own, from what the MLP reads in this pass."""
    index = frozen.index
    layer = frozen.layer
    place = tap(site("mlp.neurons", index), anatomy, lambda: (1, -1))
    seen: list[Tensor] = []

    def remember(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append((args or tuple(kwargs.values()))[0][0])

    def fill() -> Tensor:
        units = _linear_units(layer, frozen, seen.pop())
        kept.units[index] = units
        kept.sources[index] = frozen.neurons.clone().requires_grad_() if cut else units
        return kept.sources[index][None]

    def at_input(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (place.put(args[0], fill()), *args[1:])

    def at_output(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return (fill()[0] @ layer.w_down.T + frozen.mlp_constant).reshape(output.shape)

    handles = [layer.mlp.register_forward_pre_hook(remember, with_kwargs=True)]
    if place.when == "input":
        handles.append(place.module.register_forward_pre_hook(at_input))
    else:
        handles.append(place.module.register_forward_hook(at_output))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _linear_units(layer: Layer, frozen: FrozenLayer, x: Float[Tensor, "p d"]) -> Float[Tensor, "p u"]:
    """The gates' own linear form, on the module's weights."""
    bias = layer.bias_in(first=True)
    units = frozen.gates.c_gate * (x @ layer.w_gate.T + (0 if bias is None else bias))
    if frozen.gates.c_up is None:
        return units
    bias = layer.bias_in(first=False)
    return units + frozen.gates.c_up * (x @ layer.w_up.T + (0 if bias is None else bias))
