"""Why a head looks where it looks: one attention score, split over pairs of what wrote to the stream.

Kamath et al. 2025, "Tracing Attention Computation Through Feature Interactions". With norms held at their scales a
query is a sum over sources, and so is a key; the score, their product, is then a sum over pairs. Rotary embeddings
and norms on queries and keys are the module's own, the latter held too. It says nothing of the softmax: a large
contribution shared by all keys moves no attention, so compare keys.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from microtome.circuit.patching.components import components_of
from microtome.circuit.patching.outputs import SITES, outputs
from microtome.circuit.patching.projecting import Projections
from microtome.core.errors import NotSupported, SiteNotFound, WrongUse
from microtome.model.model import Model
from microtome.model.norms import Norm, measured
from microtome.model.upcast import in_float32

OFF = 1e-3
"""How far contributions may miss their score, as a share of all of them."""


@dataclass(frozen=True, eq=False, repr=False)
class QkAttribution:
    """A score between one query and one key, before the softmax and the mask.

    Attributes:
        head: its name, `head.L.H`.
        query, key: positions.
        score: what the network computed.
        names: what is on both axes of the table: sources of the stream and `bias`, all that comes from none.
        table: contributions, query's sources by key's sources; they sum to the score.
    """

    head: str
    query: int
    key: int
    score: float
    names: tuple[str, ...]
    table: Float[Tensor, "s s"]

    def __repr__(self) -> str:
        return f"QkAttribution({self.head} from {self.query} to {self.key}: score {self.score:+.3f})"

    def top(self, n: int = 10) -> list[tuple[str, str, float]]:
        """The pairs that contribute most, for or against: query's source, key's source, contribution."""
        order = self.table.flatten().abs().argsort(descending=True)[:n].tolist()
        width = len(self.names)
        return [(self.names[i // width], self.names[i % width], float(self.table.flatten()[i])) for i in order]


def qk_attribution(model: Model, prompt: Any, layer: int, head: int, *, query: int = -1, key: int = 0) -> QkAttribution:
    """Splits one attention score over pairs of the embedding, heads, MLPs and biases.

    Args:
        model: opened by `microtome.open`, of a supported family.
        prompt: one text or its token ids.
        layer, head: which head; a query head.
        query, key: positions, negative from the end.

    Raises:
        SiteNotFound: there is no such head or position.
        NotSupported: the family caps scores, and a capped score is no sum.
        WrongUse: several rows, or a key that the query does not see.
    """
    model = in_float32(model)
    components, batch = components_of(model.anatomy), model.batch(prompt)
    at, to = batch.token(0, query), batch.token(0, key)
    if not (0 <= layer < components.n_layers and 0 <= head < components.h):
        found = f"{components.n_layers} layers of {components.h} heads"
        raise SiteNotFound(f"find head.{layer}.{head}", found=found, do="count layers and heads from 0")
    if len(batch.lengths) > 1 or to > at:
        found = f"{len(batch.lengths)} rows, a query at {at} and a key at {to}"
        raise WrongUse("attribute an attention score", found=found, do="give one prompt, and a key before the query")
    told = vars(model.anatomy.layers[layer].attention)
    if told.get("attn_logit_softcapping") is not None:
        raise NotSupported(
            f"split a score of head.{layer}.{head} into contributions",
            found=f"scores capped at {told['attn_logit_softcapping']:g}: a cap of a sum is no sum of caps",
            do="take a model of a family that does not cap attention scores",
        )
    projections = Projections(model.anatomy)
    with projections.listening():
        run = model.run(batch, [*SITES, f"resid.{layer}", f"attn.scores.{layer}"])
    before = components.sources[: components.heads(layer).start]
    written = outputs(model.anatomy, components, run)[0, : len(before)]
    queries, keys = _split(projections, layer, run[f"resid.{layer}"], written)
    mine, its = queries[:, at, head], keys[:, to, head * components.g // components.h]
    score = float(run[f"attn.scores.{layer}"][0, head, at, to])
    table = mine @ its.T * told["scaling"]
    masked = score < torch.finfo(table.dtype).min / 2  # outside the head's window
    if not masked and abs(float(table.sum()) - score) > OFF * float(table.abs().sum()):
        raise NotSupported(
            f"split a score of head.{layer}.{head} into contributions",
            found=f"contributions that sum to {float(table.sum()):.3g}, where the network computed {score:.3g}",
            do="patch the head's query or key instead: something between the stream and the score is no linear map",
        )
    return QkAttribution(f"head.{layer}.{head}", at, to, score, (*before, "bias"), table)


def _split(
    projections: Projections, layer: int, stream: Float[Tensor, "1 p d"], written: Float[Tensor, "s p d"]
) -> tuple[Float[Tensor, "s1 p h c"], Float[Tensor, "s1 p g c"]]:
    """Each source's queries and keys at the stream's own scales; last, what is there without any source."""
    with _norms_held(projections, layer, stream), torch.no_grad():
        parts = projections(layer, torch.cat([written, torch.zeros_like(stream)]), last="k")
    found = []
    for part in (parts["q"], parts["k"]):
        constant = part[-1:]
        found.append(torch.cat([part[:-1] - constant, constant]))
    return found[0], found[1]


@contextmanager
def _norms_held(projections: Projections, layer: int, stream: Float[Tensor, "1 p d"]) -> Iterator[None]:
    """Every norm on the way to queries and keys is linear inside, at the scale that it has on a stream."""
    part, path = projections.anatomy.layers[layer], projections.anatomy.family.attn_norm
    norms = [one for one in part.attention.modules() if _is_norm(one)]
    norms += [] if path is None else [part.part(path)]
    scales: dict[nn.Module, Tensor] = {}
    formulas = {one: measured(one) for one in norms}

    def remember(module: nn.Module, args: tuple[Any, ...]) -> None:
        scales[module] = formulas[module].scale(args[0])

    with ExitStack() as seeing, torch.no_grad():
        for one in norms:
            seeing.callback(one.register_forward_pre_hook(remember).remove)
        projections(layer, stream, last="k")

    def hold(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return _linear(formulas[module], args[0], scales[module])

    with ExitStack() as holding:
        for one in norms:
            holding.callback(one.register_forward_hook(hold).remove)
        yield


def _linear(norm: Norm, x: Tensor, scale: Tensor) -> Tensor:
    out = norm.push(x, scale)
    return out if norm.bias is None else out + norm.bias


def _is_norm(module: nn.Module) -> bool:
    """Whatever has a weight and multiplies no matrix; some norms have a weight for each head."""
    return module._parameters.get("weight") is not None and not isinstance(module, nn.Linear | Conv1D)
