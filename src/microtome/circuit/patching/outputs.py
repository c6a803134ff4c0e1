"""What each source writes to the residual stream in a pass."""

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.patching.components import Components
from microtome.model.anatomy import Anatomy, Layer
from microtome.model.run import Run

SITES = ("embed", "attn.heads.*", "mlp.out.*")
"""What `outputs` needs a run to hold."""


def head_outputs(
    layer: Layer, mixed: Float[Tensor, "b p h c"], scaled_by: Float[Tensor, "b p h c"] | None = None
) -> Float[Tensor, "b h p d"]:
    """What each head adds to the stream; together they are all that attention adds.

    The output bias is shared evenly: it is the same in every run, so no difference sees it. Where a norm follows,
    it is linear at the scale of this very run, and each head's output is its share.

    Args:
        layer: whose heads they are.
        mixed: their mixes of values, before W_O.
        scaled_by: mixes of another run, whose scale is taken instead.
    """
    each, norm = _before_norm(layer, mixed), layer.attn_post_norm
    if norm is None:
        return each
    whole = each if scaled_by is None else _before_norm(layer, scaled_by)
    return norm.push(each, norm.scale(whole.sum(1))[:, None])


def _before_norm(layer: Layer, mixed: Float[Tensor, "b p h c"]) -> Float[Tensor, "b h p d"]:
    each = torch.einsum("bphc,dhc->bhpd", mixed, layer.w_o)
    return each if layer.b_o is None else each + layer.b_o / layer.sizes.h


def outputs(anatomy: Anatomy, components: Components, run: Run) -> Float[Tensor, "b s p d"]:
    """Every source's output in a run that holds `SITES`."""
    embed = run["embed"]
    found = embed.new_empty(embed.shape[0], len(components.sources), *embed.shape[1:])
    found[:, 0] = embed
    for i, layer in enumerate(anatomy.layers):
        found[:, components.heads(i)] = head_outputs(layer, run[f"attn.heads.{i}"])
        found[:, components.mlp(i)] = run[f"mlp.out.{i}"]
    return found


def zeroed(anatomy: Anatomy, components: Components, run: Run) -> Float[Tensor, "b s p d"]:
    """The same where every head's mix, every MLP's output and the embedding are zero; output biases stay.

    Norms after attention keep the scale of the run.
    """
    found = torch.zeros_like(outputs(anatomy, components, run))
    for i, layer in enumerate(anatomy.layers):
        mixed = run[f"attn.heads.{i}"]
        found[:, components.heads(i)] = head_outputs(layer, torch.zeros_like(mixed), scaled_by=mixed)
    return found
