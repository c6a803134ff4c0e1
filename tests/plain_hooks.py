"""Every site of every family, reached by plain torch hooks on the untouched module.

Written apart from the package, which is held to it: nothing here knows taps, placing or padding. One row at a
time, no cache; a change is a function from the site's tensor, in the site's shape, to the one to go on with.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

Change = Callable[[Tensor], Tensor]
INSIDE = ("attn.q", "attn.k", "attn.v", "attn.scores", "attn.pattern")
NAME = "plain hooks"
_changes: dict[tuple[int, str], Change] = {}

# Of each family what differs from Llama: (blocks, final norm, attention, its output projection, MLP, its parts).
LLAMA = {
    "blocks": "model.layers", "final": "model.norm", "attn": "self_attn", "o": "self_attn.o_proj", "mlp": "mlp",
    "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj", "after attn": "self_attn",
    "after mlp": "mlp",
}  # fmt: skip
NORMED = {"after attn": "post_attention_layernorm", "after mlp": "post_feedforward_layernorm"}
PATHS: dict[str, dict[str, str]] = {
    "gemma2": NORMED,
    "gemma3_text": NORMED,
    "olmo2": NORMED,
    "olmo3": NORMED,
    "exaone4": NORMED,
    "glm": {"gate": "mlp.gate_up_proj"},
    "glm4": {
        "gate": "mlp.gate_up_proj", "after attn": "post_self_attn_layernorm", "after mlp": "post_mlp_layernorm",
    },
    "gpt2": {
        "blocks": "transformer.h", "final": "transformer.ln_f", "attn": "attn", "after attn": "attn",
        "o": "attn.c_proj", "gate": "mlp.c_fc", "down": "mlp.c_proj",
    },
    "gpt_neox": {
        "blocks": "gpt_neox.layers", "final": "gpt_neox.final_layer_norm", "attn": "attention",
        "after attn": "attention", "o": "attention.dense", "gate": "mlp.dense_h_to_4h", "down": "mlp.dense_4h_to_h",
    },
    "phi": {"final": "model.final_layernorm", "o": "self_attn.dense", "gate": "mlp.fc1", "down": "mlp.fc2"},
    "phi3": {"gate": "mlp.gate_up_proj"},
}  # fmt: skip


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, softcap: float | None = None, s_aux: Tensor | None = None, **_: Any,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    def changed(name: str, x: Tensor) -> Tensor:
        return _changes.get((module.layer_idx, f"attn.{name}"), lambda x: x)(x)

    def swapped(name: str, x: Tensor) -> Tensor:
        return changed(name, x.transpose(1, 2)).transpose(1, 2)

    query, key, value = swapped("q", query), swapped("k", key), swapped("v", value)
    repeats = query.shape[1] // key.shape[1]
    key, value = (x[:, :, None].expand(-1, -1, repeats, -1, -1).flatten(1, 2) for x in (key, value))
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if attention_mask is not None:
        scores = scores + attention_mask
    scores = changed("scores", scores)
    weights = scores.softmax(-1)
    if s_aux is not None:  # what is left beside a sink: e^scores over their sum and the sink's own
        weights = weights * torch.sigmoid(scores.logsumexp(-1) - s_aux[:, None])[..., None]
    pattern = changed("pattern", weights)
    return (pattern @ value).transpose(1, 2).contiguous(), pattern


def prepared(module: PreTrainedModel) -> PreTrainedModel:
    """The module with the attention of this file, which changes can reach into."""
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, eager_mask)
    module.set_attn_implementation(NAME)
    if module._can_set_experts_implementation():
        module.set_experts_implementation("eager")  # the others cannot do float64
    return module


@contextmanager
def hooked(module: PreTrainedModel, changes: dict[str, Change]) -> Iterator[None]:
    """Changes by site name, for one pass after another."""
    paths = {**LLAMA, **PATHS.get(module.config.model_type, {})}
    with ExitStack() as stack:
        for name, change in changes.items():
            kind, _, layer = name.rpartition(".") if name[-1].isdigit() else (name, "", "")
            if kind in INSIDE:
                _changes[int(layer), kind] = change
            elif layer:
                block = module.get_submodule(paths["blocks"])[int(layer)]
                _on_block(stack, kind, block, paths, module, change)
            else:
                _on_module(stack, kind, module, paths, change)
        try:
            yield
        finally:
            _changes.clear()


def _on_module(stack: ExitStack, kind: str, module: PreTrainedModel, paths: dict[str, str], change: Change) -> None:
    final = module.get_submodule(paths["final"])
    match kind:
        case "embed":
            _input(stack, module.get_submodule(paths["blocks"])[0], change)
        case "resid.final":
            _input(stack, final, change)
        case "norm.final":
            _output(stack, final, change)
        case "logits":
            _output(stack, module, change)


def _on_block(
    stack: ExitStack, kind: str, block: nn.Module, paths: dict[str, str], module: PreTrainedModel, change: Change
) -> None:
    def at(part: str) -> nn.Module:
        return block.get_submodule(paths[part])

    scale = module.config.to_dict().get("residual_multiplier", 1)  # Granite's, outside of any module
    match kind:
        case "resid":
            _input(stack, block, change)
        case "attn.in":
            _input(stack, at("attn"), change)
        case "attn.heads":
            heads = module.config.num_attention_heads
            _input(stack, at("o"), lambda x: change(x.unflatten(-1, (heads, -1))).flatten(-2))
        case "attn.out":
            _output(stack, at("after attn"), lambda x: change(x * scale) / scale)
        case "resid_mid":
            entered: list[Tensor] = []
            _input(stack, block, lambda x: (entered.append(x), x)[1])
            _output(stack, at("after attn"), lambda x: (change(entered[-1] + x * scale) - entered[-1]) / scale)
        case "mlp.in":
            _input(stack, at("mlp"), change)
        case "mlp.out":
            _output(stack, at("after mlp"), lambda x: change(x * scale) / scale)
        case "mlp.gate" | "mlp.up" if paths["gate"] == "mlp.gate_up_proj":
            _output(stack, at("gate"), partial(_half_changed, change, kind == "mlp.gate"))
        case "mlp.gate" | "mlp.up":
            _output(stack, at(kind.removeprefix("mlp.")), change)
        case "mlp.neurons" if "experts" in dict(block.get_submodule("mlp").named_children()):
            stack.callback(at("mlp").experts.register_forward_hook(partial(_experts_changed, change)).remove)
        case "mlp.neurons":
            _input(stack, at("down"), change)


def _half_changed(change: Change, first: bool, x: Tensor) -> Tensor:
    gate, up = x.chunk(2, -1)
    return torch.cat([change(gate), up] if first else [gate, change(up)], -1)


def _experts_changed(change: Change, experts: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Expert by expert and token by token: the units side by side, with the routing weight folded in."""
    x, chosen, weights = args
    woven = hasattr(experts, "gate_up_proj_bias")
    width = experts.down_proj.shape[1 if woven else 2]
    down = experts.down_proj.transpose(1, 2) if woven else experts.down_proj
    rows = []
    for token, picks, shares in zip(x, chosen, weights, strict=True):
        units = [token.new_zeros(width) for _ in down]
        for expert, share in zip(picks.tolist(), shares, strict=True):
            if woven:
                both = token @ experts.gate_up_proj[expert] + experts.gate_up_proj_bias[expert]
                gate = both[::2].clamp(max=experts.limit)
                up = both[1::2].clamp(-experts.limit, experts.limit)
                units[expert] = (up + 1) * gate * torch.sigmoid(experts.alpha * gate) * share
                continue
            gate, up = (experts.gate_up_proj[expert] @ token).chunk(2)
            units[expert] = experts.act_fn(gate) * up * share
        rows.append(torch.cat(units))
    new = change(torch.stack(rows)[None])[0].unflatten(-1, (len(down), -1))
    written = torch.einsum("neu,edu->nd", new, down)
    return written + torch.einsum("nk,nkd->nd", weights, experts.down_proj_bias[chosen]) if woven else written


def _input(stack: ExitStack, module: nn.Module, change: Change) -> None:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (change(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

    stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)


def _output(stack: ExitStack, module: nn.Module, change: Change) -> None:
    def hook(_: nn.Module, args: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return change(output)
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        output.logits = change(output.logits)
        return output

    stack.callback(module.register_forward_hook(hook).remove)


def logits(module: PreTrainedModel, ids: list[int], changes: dict[str, Change] | None = None) -> Tensor:
    """`[1, p, v]`, with changes."""
    with hooked(module, changes or {}):
        return module(torch.tensor([ids]), use_cache=False).logits


def seen(module: PreTrainedModel, ids: list[int], names: list[str]) -> dict[str, Tensor]:
    """The tensors at sites, in one pass."""
    found: dict[str, Tensor] = {}

    def keep(name: str, x: Tensor) -> Tensor:
        found[name] = x.clone()
        return x

    logits(module, ids, {name: partial(keep, name) for name in names})
    return found


def gradients(
    module: PreTrainedModel, ids: list[int], names: list[str], metric: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """Of a metric of the logits at each site: autograd on the module's own graph, one site at a time."""
    found: dict[str, Tensor] = {}
    for name in names:
        leaf: list[Tensor] = []

        def cut(x: Tensor, leaf: list[Tensor] = leaf) -> Tensor:
            leaf.append(x.detach().requires_grad_())
            return leaf[0]

        found[name] = torch.autograd.grad(metric(logits(module, ids, {name: cut})), leaf)[0]
    return found
