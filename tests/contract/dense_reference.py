"""Every architecture's loss once more, dense and plain: all units of all tokens, differentiated by autograd.

Nothing here uses the sparse products, the choice by screening, or the architectures' own code.
"""

import torch
from torch import Tensor

from microtome.dictionary.architecture import Moment
from microtome.dictionary.dictionary import Dictionary

Terms = dict[str, Tensor]


def dense_outcome(dictionary: Dictionary, x: Tensor, y: Tensor, moment: Moment) -> tuple[Terms, Tensor]:
    """Loss terms and reconstruction."""
    settings = dictionary.architecture
    blocks = list(dictionary.units)
    pre = [_pre(dictionary, block, x) for block in blocks]
    norms = [block.W_dec.norm(dim=1) for block in blocks]
    rule = {
        "topk": _topk, "batchtopk": _batchtopk, "matryoshka": _batchtopk, "relu": _relu, "gated": _gated,
        "jumprelu": _jumprelu, "linear": _linear,
    }[settings.name]  # fmt: skip
    codes = [rule(settings, block, z, n) for block, z, n in zip(blocks, pre, norms, strict=True)]
    y_hat = _decode(dictionary, codes, x)
    terms = {"reconstruction": _squared(y - y_hat)}
    if settings.name == "matryoshka":
        terms = {"reconstruction": _nested(dictionary, codes, x, y)}
    if settings.name in ("topk", "batchtopk", "matryoshka"):
        terms["aux"] = _aux(dictionary, settings, x, y - y_hat, moment)
    if settings.name == "relu":
        paid = sum((f * n).sum() for f, n in zip(codes, norms, strict=True))
        terms["sparsity"] = moment.ramp * settings.l1 * paid / len(x)
    if settings.name == "gated":
        gates = [z.relu() for z in pre]
        paid = sum((g * n).sum() for g, n in zip(gates, norms, strict=True))
        terms["sparsity"] = moment.ramp * settings.l1 * paid / len(x)
        terms["gate"] = _squared(y - _decode(dictionary, gates, x, frozen=True))
    if settings.name == "jumprelu":
        counts = [
            _step(z.detach(), block.threshold, settings.window).sum() for z, block in zip(pre, blocks, strict=True)
        ]
        terms["sparsity"] = moment.ramp * settings.l0 * sum(counts) / len(x)
    return terms, y_hat


def _pre(dictionary, block, x):
    read = x[:, list(block.block.reads)].flatten(1)
    if dictionary.conventions.centred:
        read = read - dictionary.b_dec[list(block.block.reads)].flatten()
    return read @ block.W_enc.T + block.b_enc


def _topk(settings, block, z, norms):
    kept = (z * norms).topk(settings.k, dim=1).indices
    return z.relu() * torch.zeros_like(z).scatter(1, kept, 1.0)


def _batchtopk(settings, block, z, norms):
    kept = (z * norms).flatten().topk(round(settings.k * len(z))).indices
    return z.relu() * torch.zeros_like(z).flatten().scatter(0, kept, 1.0).view_as(z)


def _linear(settings, block, z, norms):
    kept = (z * norms).abs().topk(settings.k, dim=1).indices
    return z * torch.zeros_like(z).scatter(1, kept, 1.0)


def _relu(settings, block, z, norms):
    return z.relu()


def _gated(settings, block, z, norms):
    magnitude = ((z - block.b_enc) * block.r_mag.exp() + block.b_mag).relu()
    return magnitude * (z > 0)


def _step(z, threshold, window):
    """The step, with the straight-through derivative −K/window for the threshold, K the rectangle."""
    within = ((z - threshold).abs() < window / 2).double()
    slope = -(within / window)
    return (z > threshold).double() + (slope * (threshold - threshold.detach()))


def _jumprelu(settings, block, z, norms):
    threshold = block.threshold
    within = ((z - threshold).abs() < settings.window / 2).double().detach()
    slope = -(threshold.detach() / settings.window) * within
    return z * (z > threshold) + slope * (threshold - threshold.detach())


def _decode(dictionary, codes, x, frozen=False):
    def held(tensor):
        return tensor.detach() if frozen else tensor

    y = [held(bias).expand(len(x), -1) for bias in dictionary.b_dec]
    for block, f in zip(dictionary.units, codes, strict=True):
        parts = (f @ held(block.W_dec)).chunk(len(block.block.writes), dim=1)
        for site, part in zip(block.block.writes, parts, strict=True):
            y[site] = y[site] + part
    y = torch.stack(y, 1)
    if dictionary.W_skip is None:
        return y
    skip = held(dictionary.W_skip)
    if len(dictionary.blocks) > 1:
        return y + torch.stack([x[:, i] @ one.T for i, one in enumerate(skip)], 1)
    return y + (x.flatten(1) @ skip.T).view_as(y)


def _nested(dictionary, codes, x, y):
    errors = []
    for share in dictionary.architecture.levels:
        kept = [f * (torch.arange(f.shape[1]) < round(share * f.shape[1])) for f in codes]
        errors.append(_squared(y - _decode(dictionary, kept, x)))
    return sum(errors) / len(errors)


def _aux(dictionary, settings, x, residual, moment):
    """(1/32) ‖residual − what the aux_k strongest dead units write, without any bias‖²."""
    said = torch.zeros_like(residual)
    for block, dead in zip(dictionary.units, moment.dead, strict=True):
        read = x[:, list(block.block.reads)].flatten(1)
        if dictionary.conventions.centred:
            read = read - dictionary.b_dec[list(block.block.reads)].flatten().detach()
        z = read @ block.W_enc.T + block.b_enc
        alive = torch.where(dead, z, -torch.inf)
        kept = torch.zeros_like(z).scatter(1, alive.topk(min(settings.aux_k, int(dead.sum()))).indices, 1.0)
        f = z.relu() * kept
        written = (f @ block.W_dec).view(len(x), len(block.block.writes), -1)
        said = said.index_add(1, torch.tensor(block.block.writes), written)
    return _squared(residual.detach() - said) / 32


def _squared(error):
    return error.square().sum((1, 2)).mean()
