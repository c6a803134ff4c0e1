"""Taps: for each site, the module and the moment where its tensor passes, and how to read and replace it.

All of it is hooks and the watched attention function; no forward pass is ever replaced.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from microtome.core.errors import NotSupported, SiteNotFound
from microtome.core.sites import Site
from microtome.model.anatomy import Anatomy, Layer
from microtome.model.experts import routing
from microtome.model.network import Network

When = Literal["input", "output", "attention"]
CallShape = Callable[[], tuple[int, int]]
"""Rows and positions of the call in progress: all of a text, or one new token."""


def _same(raw: Tensor) -> Tensor:
    return raw


def _replaced(raw: Tensor, new: Tensor) -> Tensor:
    return new


def _swapped(raw: Tensor, new: Tensor | None = None) -> Tensor:
    """Between `[b, h, p, c]` inside attention and `[b, p, h, c]` at a site."""
    return (raw if new is None else new).transpose(1, 2)


@dataclass(frozen=True)
class Tap:
    """Where a site's tensor passes.

    Attributes:
        module: whose input, output or attention carries it.
        when: which of the three.
        get: from the raw tensor there to the site's shape.
        put: the raw tensor with a new site tensor in its place.
        name: of the tensor inside attention.
        before: called with the inputs of a module earlier in the pass, where a site needs them.
    """

    module: nn.Module
    when: When
    get: Callable[[Tensor], Tensor] = _same
    put: Callable[[Tensor, Tensor], Tensor] = _replaced
    name: str = ""
    before: tuple[nn.Module, Callable[[tuple[Any, ...]], None]] | None = None


def tap(site: Site, network: Network, call_shape: CallShape) -> Tap:
    """The tap of a site, made anew for each run.

    Raises:
        SiteNotFound: this layer lacks what others have (a dense layer among sparse ones, say).
        NotSupported: a part by name, of a network that no family describes.
    """
    kind = site.kind.name
    layer = site.layer
    if site.module is not None:
        return _of_module(network.modules[site.module], call_shape)
    if kind == "logits":
        return Tap(network.module, "output")
    anatomy = named_parts(network)
    if layer is None:
        return _global(kind, anatomy)
    part = anatomy.layers[layer]
    if kind.startswith("mlp.") and part.experts is not None:
        return _sparse(kind, site, part, call_shape)
    return _of_layer(kind, part)


def _of_module(module: nn.Module, call_shape: CallShape) -> Tap:
    """Positions are told by size: `[b, p, …]`, or `[b·p, …]` in networks that lay their rows end to end."""

    def get(raw: Tensor) -> Tensor:
        rows, width = call_shape()
        flat = raw.shape[:2] != (rows, width) and raw.shape[:1] == (rows * width,)
        return raw.unflatten(0, (rows, width)) if flat else raw

    return Tap(module, "output", get, lambda raw, new: new.reshape(raw.shape))


def named_parts(network: Network) -> Anatomy:
    """The network's parts by name.

    Raises:
        NotSupported: no family describes it.
    """
    if isinstance(network, Anatomy):
        return network
    raise NotSupported(
        f"find the layers, norms and weights of a network of type {network.kind!r}",
        found="no family describes it: its modules run, but nothing says what each of them is",
        do="capture and edit outputs of modules (`module:PATH`), or add a family: docs/how-to/add-a-family.md",
    )


def _global(kind: str, anatomy: Anatomy) -> Tap:
    if kind == "embed":
        return Tap(anatomy.layers[0].block, "input")
    return Tap(anatomy.final_norm_module, "input" if kind == "resid.final" else "output")


def _of_layer(kind: str, layer: Layer) -> Tap:
    family = layer.family
    match kind:
        case "resid":
            return Tap(layer.block, "input")
        case "attn.in":
            return Tap(layer.attention, "input")
        case "attn.q" | "attn.k" | "attn.v":
            return Tap(layer.attention, "attention", _swapped, _swapped, name=kind[-1])
        case "attn.scores" | "attn.pattern":
            return Tap(layer.attention, "attention", name=kind.partition(".")[2])
        case "attn.heads":
            heads = (layer.sizes.h, layer.sizes.c)
            return Tap(layer.heads_out, "input", lambda x: x.unflatten(-1, heads), lambda x, new: new.flatten(-2))
        case "attn.out":
            return _branch(layer, layer.attention, family.attn_post_norm)
        case "resid_mid":
            return _between(layer)
        case "mlp.in":
            return Tap(layer.mlp, "input")
        case "mlp.gate" if family.mlp_layout == "fused":
            return Tap(
                layer.part(family.gate),
                "output",
                _first_half,
                lambda x, new: torch.cat([new, _last_half(x)], -1),
            )
        case "mlp.up" if family.mlp_layout == "fused":
            return Tap(
                layer.part(family.gate),
                "output",
                _last_half,
                lambda x, new: torch.cat([_first_half(x), new], -1),
            )
        case "mlp.gate":
            return Tap(layer.part(family.gate), "output")
        case "mlp.up" if family.up is not None:
            return Tap(layer.part(family.up), "output")
        case "mlp.neurons":
            return Tap(layer.part(family.down), "input")
        case "mlp.out":
            return _branch(layer, layer.mlp, family.mlp_post_norm)
    raise AssertionError(f"the table of sites has {kind!r} and the taps do not")


def _branch(layer: Layer, branch: nn.Module, post_norm: str | None) -> Tap:
    """What a branch adds to the stream, also where the layer scales what the module gave."""
    after, scale = _after(layer, branch, post_norm), layer.scale
    if scale == 1:
        return Tap(after, "output")

    def put(raw: Tensor, new: Tensor) -> Tensor:
        kept = raw.detach()  # only the difference is written, so that an unedited pass keeps its bits
        return kept + (new - kept * scale) / scale

    return Tap(after, "output", lambda raw: raw * scale, put)


def _after(layer: Layer, branch: nn.Module, post_norm: str | None) -> nn.Module:
    return branch if post_norm is None else layer.part(post_norm)


def _first_half(x: Tensor) -> Tensor:
    return x[..., : x.shape[-1] // 2]


def _last_half(x: Tensor) -> Tensor:
    return x[..., x.shape[-1] // 2 :]


@dataclass
class _Held:
    """What an earlier moment of the pass left for a later one."""

    inputs: tuple[Any, ...] = field(default=())

    def hold(self, inputs: tuple[Any, ...]) -> None:
        self.inputs = inputs


def _between(layer: Layer) -> Tap:
    """The stream between the branches is a sum inside the layer, which no module gives or takes.

    It is the stream entering the layer plus what attention adds; a new value goes in through what
    attention adds. Only the difference is written, so that an unedited pass keeps its bits.
    """
    held, scale = _Held(), layer.scale

    def put(added: Tensor, new: Tensor) -> Tensor:
        kept = added.detach()
        return kept + (new - (held.inputs[0] + kept * scale)) / scale

    return Tap(
        _after(layer, layer.attention, layer.family.attn_post_norm),
        "output",
        get=lambda added: held.inputs[0] + added * scale,
        put=put,
        before=(layer.block, held.hold),
    )


def _sparse(kind: str, site: Site, layer: Layer, call_shape: CallShape) -> Tap:
    experts = layer.experts
    assert experts is not None
    if kind in ("mlp.in", "mlp.out"):
        return _of_layer(kind, layer)
    if kind != "mlp.neurons":
        raise SiteNotFound(
            f"find the site {site}",
            found=f"layer {site.layer} is a mixture of experts, which has no single gate and up",
            do=f"use mlp.neurons.{site.layer}: every expert's units side by side, routing weight folded in",
        )
    held = _Held()

    def get(out: Tensor) -> Tensor:
        return routed_units(layer, *held.inputs[:3]).unflatten(0, call_shape())

    def put(out: Tensor, new: Tensor) -> Tensor:
        # The difference alone is written, so that an unedited pass keeps its bits; its gradient is the
        # whole gradient, because the untouched output is cut, but for what passes the units by.
        change = (new - get(out).detach()).flatten(0, 1)
        _, chosen, weights = held.inputs[:3]
        beside = experts.constant(routing(weights, chosen, experts.n))
        return out.detach() + change @ layer.w_down.T + (beside - beside.detach()).to(out.dtype)

    return Tap(experts.module, "output", get, put, before=(experts.module, held.hold))


def routed_units(layer: Layer, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """Hidden units of all experts side by side, `[tokens, experts · u]`, times the routing weight.

    Units of experts that a token was not sent to are zero.
    """
    experts = layer.experts
    assert experts is not None
    units = experts.units(*experts.factors(x))
    return units * experts.over_units(routing(weights, chosen, experts.n).to(units.dtype))
