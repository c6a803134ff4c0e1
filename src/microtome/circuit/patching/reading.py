"""Gradients at what each reader reads: the stream before its norm, along that reader's path alone.

One backward pass gives gradients at queries, keys, values and MLP inputs; each head's share is then pulled through
the layer's own projection and norm. So a reader's gradient is that of transformer-lens's `hook_q_input`,
`hook_mlp_in` and the stream before the final norm.
"""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.patching.case import Bench, Case
from microtome.circuit.patching.components import PARTS
from microtome.circuit.patching.rows import Rows
from microtome.model.edits import Edit
from microtome.model.run import Run

SITES = ("embed", "resid.*", "attn.q.*", "attn.k.*", "attn.v.*", "attn.out.*", "mlp.in.*", "resid.final")


def edge_scores(
    case: Case, bench: Bench, change: Float[Tensor, "b s p d"], rows: Rows, edits: Iterable[Edit] = ()
) -> Float[Tensor, "s r"]:
    """Sum over rows and positions of each source's change times the gradient at each later reader.

    Args:
        case: the model and the metric.
        bench: whose projections serve.
        change: of every source's output. With several times as many rows to run, each change serves them all.
        rows: what is run, clean prompts of the bench's length.
        edits: in force in that pass.
    """
    run, components = case.gradients(rows, SITES, edits), case.components
    found = change.new_zeros(len(components.sources), len(components.readers))
    for first, gradients in reader_gradients(case, bench, run):
        n = components.before(components.readers[first])
        folded = gradients.unflatten(1, (-1, change.shape[0])).sum(1)
        scores = torch.einsum("bspd,rbpd->sr", change[:, :n], folded)
        found[:n, first : first + len(gradients)] = scores
    return found


def reader_gradients(case: Case, bench: Bench, run: Run) -> Iterator[tuple[int, Float[Tensor, "r b p d"]]]:
    """Readers of one kind in one layer at a time: the place of the first, and the gradients of all of them."""
    components, projections = case.components, bench.projections
    for i, layer in enumerate(case.anatomy.layers):
        stream = run[f"resid.{i}"]
        for part in PARTS:
            gradients = _pulled_to_heads(bench, i, part, stream, run.grad[f"attn.{part}.{i}"])
            yield components.part(i, part).start, gradients
        between = stream if layer.parallel else stream + run[f"attn.out.{i}"]
        gradient = run.grad[f"mlp.in.{i}"]
        if layer.family.mlp_norm is not None:
            with torch.enable_grad():
                leaf = between.detach().requires_grad_()
                normed = projections.normed(layer.family.mlp_norm, i, leaf)
            (gradient,) = torch.autograd.grad(normed, leaf, gradient)
        yield components.part(i, "mlp").start, gradient[None]
    yield len(components.readers) - 1, run.grad["resid.final"][None]


def _pulled_to_heads(
    bench: Bench, index: int, part: str, stream: Float[Tensor, "b p d"], gradient: Float[Tensor, "b p h c"]
) -> Float[Tensor, "h b p d"]:
    with torch.enable_grad():
        leaf = stream.detach().requires_grad_()
        made = bench.projections(index, leaf, last=part)[part]
        heads = [made[:, :, head] for head in range(made.shape[2])]
    pulled = [
        torch.autograd.grad(one, leaf, gradient[:, :, head], retain_graph=head + 1 < len(heads))[0]
        for head, one in enumerate(heads)
    ]
    return torch.stack(pulled)
