"""EAP written down densely: each family's forward pass by hand, every reader with an input of its own.

Nothing of the package is used but the names of components. Prompts are short enough for windows not to matter.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass
class Pass:
    """One row's pass: M, what sources wrote, what readers read."""

    metric: Tensor = field(default_factory=lambda: torch.empty(0))
    writes: dict[str, Tensor] = field(default_factory=dict)
    reads: dict[str, Tensor] = field(default_factory=dict)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of the first len(cos) channels, halves layout; x is [p, c]."""
    n = cos.shape[-1]
    turned, rest = x[:, :n], x[:, n:]
    half = torch.cat([-turned[:, n // 2 :], turned[:, : n // 2]], -1)
    return torch.cat([turned * cos + half * sin, rest], -1)


@dataclass
class Parts:
    """What a layer is made of, each as a function of [p, d]."""

    queries: Callable[[Tensor], Tensor]
    keys: Callable[[Tensor], Tensor]
    values: Callable[[Tensor], Tensor]
    out: Tensor
    out_bias: Tensor | None
    attn_norm: nn.Module
    mlp_norm: nn.Module
    mlp: nn.Module
    attn_post: nn.Module | None = None
    mlp_post: nn.Module | None = None


def linear(weight: Tensor, bias: Tensor | None, heads: int) -> Callable[[Tensor], Tensor]:
    return lambda x: nn.functional.linear(x, weight, bias).unflatten(-1, (heads, -1))


def parts_of(family: str, block: nn.Module, h: int, g: int) -> Parts:
    if family == "gpt2":
        a = block.attn
        three = zip(a.c_attn.weight.T.chunk(3), a.c_attn.bias.chunk(3), strict=True)
        q, k, v = (linear(weight, bias, h) for weight, bias in three)
        return Parts(q, k, v, a.c_proj.weight.T, a.c_proj.bias, block.ln_1, block.ln_2, block.mlp)
    if family == "gpt_neox":
        a = block.attention
        weight, bias = (x.unflatten(0, (h, 3, -1)) for x in (a.query_key_value.weight, a.query_key_value.bias))
        q, k, v = (linear(weight[:, i].flatten(0, 1), bias[:, i].flatten(), h) for i in range(3))
        norms = block.input_layernorm, block.post_attention_layernorm
        return Parts(q, k, v, a.dense.weight, a.dense.bias, *norms, block.mlp)
    a = block.self_attn
    q, k, v = (linear(m.weight, m.bias, n) for m, n in ((a.q_proj, h), (a.k_proj, g), (a.v_proj, g)))
    if family == "llama":
        norms = block.input_layernorm, block.post_attention_layernorm
        return Parts(q, k, v, a.o_proj.weight, a.o_proj.bias, *norms, block.mlp)
    norms = block.input_layernorm, block.pre_feedforward_layernorm
    post = block.post_attention_layernorm, block.post_feedforward_layernorm
    return Parts(q, k, v, a.o_proj.weight, a.o_proj.bias, *norms, block.mlp, *post)


def embedded(family: str, module: nn.Module, ids: Tensor) -> Tensor:
    if family == "gpt2":
        return module.transformer.wte(ids) + module.transformer.wpe(torch.arange(len(ids)))
    return module.gpt_neox.embed_in(ids) if family == "gpt_neox" else module.model.embed_tokens(ids)


def run(family: str, module: nn.Module, ids: tuple[int, ...], target: int, against: int) -> Pass:
    config, kept = module.config, Pass()
    h = config.num_attention_heads
    g = config.num_key_value_heads if family in ("llama", "gemma2") else h
    body = {"gpt2": "transformer", "gpt_neox": "gpt_neox"}.get(family, "model")
    stream = embedded(family, module, torch.tensor(ids)).requires_grad_()
    kept.writes["embed"] = stream
    turn: Callable[[Tensor], Tensor] = lambda x: x  # noqa: E731
    if family != "gpt2":
        cos, sin = module.get_submodule(body).rotary_emb(stream[None], torch.arange(len(ids))[None])
        turn = lambda x: rotate(x, cos[0], sin[0])  # noqa: E731

    def read(name: str) -> Tensor:
        kept.reads[name] = stream.clone()
        kept.reads[name].retain_grad()
        return kept.reads[name]

    blocks = module.get_submodule(body).h if family == "gpt2" else module.get_submodule(body).layers
    hidden = torch.full((len(ids), len(ids)), -torch.inf, dtype=stream.dtype).triu(1)
    for i, block in enumerate(blocks):
        parts = parts_of(family, block, h, g)
        keys = [turn(parts.keys(parts.attn_norm(read(f"head.{i}.{j}.k")))[:, j]) for j in range(g)]
        values = [parts.values(parts.attn_norm(read(f"head.{i}.{j}.v")))[:, j] for j in range(g)]
        written = []
        for j in range(h):
            query = turn(parts.queries(parts.attn_norm(read(f"head.{i}.{j}.q")))[:, j])
            scale = config.query_pre_attn_scalar**-0.5 if family == "gemma2" else query.shape[-1] ** -0.5
            scores = query @ keys[j * g // h].T * scale
            if family == "gemma2":
                scores = (scores / config.attn_logit_softcapping).tanh() * config.attn_logit_softcapping
            mixed = (scores + hidden).softmax(-1) @ values[j * g // h]
            written.append(mixed @ parts.out.unflatten(1, (h, -1))[:, j].T)
        added = sum(written) + (0 if parts.out_bias is None else parts.out_bias)
        share = [one + (0 if parts.out_bias is None else parts.out_bias / h) for one in written]
        if parts.attn_post is not None:  # RMS norm with 1 + w: linear at its scale
            scale = (added.square().mean(-1, keepdim=True) + config.rms_norm_eps).rsqrt()
            share = [one * scale * (1 + parts.attn_post.weight) for one in share]
            added = parts.attn_post(added)
        kept.writes |= {f"head.{i}.{j}": one for j, one in enumerate(share)}
        if family == "gpt_neox":
            more = parts.mlp(parts.mlp_norm(read(f"mlp.{i}")))
            stream = stream + added
        else:
            stream = stream + added
            more = parts.mlp(parts.mlp_norm(read(f"mlp.{i}")))
            more = more if parts.mlp_post is None else parts.mlp_post(more)
        kept.writes[f"mlp.{i}"] = more
        stream = stream + more
    final = {"gpt2": "transformer.ln_f", "gpt_neox": "gpt_neox.final_layer_norm"}.get(family, "model.norm")
    normed = module.get_submodule(final)(read("logits"))[-1]
    logits = module.get_output_embeddings()(normed)
    kept.metric = logits[target] - logits[against]
    return kept


def eap(family: str, module: nn.Module, pairs, before) -> dict[tuple[str, str], float]:
    """Every edge's (clean − counterfactual) · gradient, meant over rows; `before(reader)` names its sources."""
    found: dict[tuple[str, str], float] = {}
    for pair in pairs:
        clean = run(family, module, pair.clean, pair.target[0], pair.against[0])
        other = run(family, module, pair.counterfactual, pair.target[0], pair.against[0])
        clean.metric.backward()
        for reader, x in clean.reads.items():
            for source in before(reader):
                change = (clean.writes[source] - other.writes[source]).detach()
                score = float((change * x.grad).sum()) / len(pairs)
                found[source, reader] = found.get((source, reader), 0.0) + score
    return found
