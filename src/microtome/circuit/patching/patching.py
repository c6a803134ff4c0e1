"""The front door: scores of a model's components on a task, and what a circuit of its edges keeps."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.circuit.patching.case import Case
from microtome.circuit.patching.components import Components, Edge, components_of
from microtome.circuit.patching.method import METHODS, Found
from microtome.circuit.patching.relabelling import relabelled
from microtome.circuit.patching.rows import METRICS, Metric, Pair, pairs_of
from microtome.circuit.patching.scores import FORMAT, KIND, Scores
from microtome.core import fingerprint
from microtome.core.artefact import RunCard
from microtome.core.config import Config
from microtome.core.counting import counted
from microtome.core.errors import WrongUse
from microtome.core.progress import track, working
from microtome.data.task import Task
from microtome.evidence import Measurement, Null, ratio_of_sums
from microtome.model.model import Model
from microtome.model.upcast import in_float32

Prompts = Task | Sequence[Pair]
CONNECTED = "connected"
"""The null of a circuit of edges."""
LEVEL = 0.95
SEED = 0


@dataclass(frozen=True, eq=False)
class Kept:
    """What a set of edges keeps of a metric, `[n]` a row each, in the order of the batches.

    Attributes:
        clean: the untouched network.
        circuit: all edges outside the set patched.
        empty: all edges patched.
        connected: the same for circuits of the same shape, `[draws, n]`: see `relabelling`.
        n_edges: how many edges the set has.
    """

    clean: Float[Tensor, "n"]
    circuit: Float[Tensor, "n"]
    empty: Float[Tensor, "n"]
    connected: Float[Tensor, "draws n"]
    n_edges: int

    @property
    def faithfulness(self) -> Measurement:
        """(m(C) − m(∅)) / (m(clean) − m(∅)), the ratio of sums over rows; 1 keeps all, 0 nothing.

        Its null is `connected`: circuits of the same shape, as many edges of each kind between the same layers. Rows
        on which the metric does not fall when all edges are patched have nothing to keep and are left out.

        Raises:
            WrongUse: no row is left.
        """
        counted_rows = self.clean > self.empty
        if not bool(counted_rows.any()):
            raise WrongUse(
                "say what a circuit keeps",
                found="a metric that falls on no row when all edges are patched",
                do="choose prompts on which the counterfactual takes something away",
            )
        spans, kept = ((one - self.empty)[counted_rows].double().cpu().numpy() for one in (self.clean, self.circuit))
        draws = (self.connected - self.empty)[:, counted_rows].double().cpu().numpy()
        value, interval = ratio_of_sums(kept, spans, seed=SEED)
        null = Null.against(CONNECTED, value, draws.sum(1) / spans.sum())
        name = f"faithfulness of {counted(self.n_edges, 'edge')}"
        return Measurement(name, value, interval, LEVEL, (null,), len(spans), SEED, "share of the metric's fall")


def patch(
    model: Model,
    task: Prompts,
    method: str = "eap-ig",
    *,
    metric: str | Metric = "logit difference",
    batch: int = 32,
    **settings: Any,
) -> Scores:
    """Scores the nodes or edges of a model's component graph on a task.

    A score is positive where the node or edge supports the target: M(clean) − M(at its counterfactual value).

    Args:
        model: opened by `microtome.open`, of a supported family.
        task: a task, whose rows that do not fit the tokenizer are left out; or pairs of token ids.
        method: `activation`, `atp`, `atp-star`, `path`, `eap`, `eap-ig`, `acdc`; `METHODS` has them all.
        metric: a name in `METRICS`, or a function from logits where the answers are read `[b, v]` and the rows to
            one number a row.
        batch: rows that are run together.
        **settings: of the method; see its class.

    Raises:
        UnknownName: no such method, metric or setting.
        NotSupported: no family describes the network.
        WrongUse: no pairs, or settings that mean nothing.
    """
    kind = METHODS.get(method)
    how = cast(Any, kind).from_dict(settings, f"setting of {method!r}")
    case, data = case_of(model, task, metric, batch)
    with working(f"patching: {method}"):
        found = how.score(case)
        every = case.components.exists
        clean, other = through(case, ~every).mean(), through(case, every).mean()
    config = {"method": method, "metric": _metric_name(metric), **cast(Config, how).to_dict()}
    card = RunCard(KIND, FORMAT, None, _plain(config), model.card, data).to_dict()
    edges = _edges(case.components, found)
    return Scores(
        method, case.components, found.nodes, edges, float(clean), float(other), found.kept, found.order, card
    )  # fmt: skip


def kept(
    model: Model,
    task: Prompts,
    circuit: Collection[Edge],
    *,
    metric: str | Metric = "logit difference",
    batch: int = 32,
    zero: bool = False,
    draws: int = 20,
) -> Kept:
    """Runs a circuit: every edge outside it brings its source's output on the counterfactual.

    Args:
        model, task, metric, batch: as for `patch`.
        circuit: edges, as (source, reader).
        zero: edges outside bring nothing instead.
        draws: how many circuits of the same shape are run beside it, a run of the task each.

    Raises:
        UnknownName: an edge that this network does not have.
    """
    case, _ = case_of(model, task, metric, batch)
    every, rng = case.components.exists, np.random.default_rng(SEED)
    if draws < 1:
        raise WrongUse(
            "run a circuit", found=f"{draws} draws", do="give 1 or more: without a null no figure is evidence"
        )

    def outside(edges: Collection[Edge]) -> Float[Tensor, "n"]:
        inside = torch.zeros_like(every)
        for edge in edges:
            inside[case.components.place(edge)] = True
        return through(case, every & ~inside, zero=zero)

    own = outside(circuit)
    others = track([relabelled(case.components, circuit, rng) for _ in range(draws)], "circuits of the same shape")
    return Kept(
        through(case, ~every), own, through(case, every, zero=zero), torch.stack([outside(one) for one in others]),
        len({*circuit}),
    )  # fmt: skip


def case_of(model: Model, task: Prompts, metric: str | Metric, batch: int) -> tuple[Case, dict[str, Any]]:
    """What methods work on, and what a run card says of the prompts.

    Raises:
        WrongUse: no pairs, or no row a batch.
    """
    wide = in_float32(model)
    components = components_of(wide.anatomy)
    if isinstance(task, Task):
        pairs, dropped = pairs_of(wide, task)
        data: dict[str, Any] = {"task": task.name, "fingerprint": task.fingerprint, "dropped": dropped}
    else:
        pairs = tuple(task)
        data = {"fingerprint": fingerprint.of_value([[*map(list, _ids(pair)), pair.position] for pair in pairs])}
    if not pairs or batch < 1:
        raise WrongUse("patch a model", found=f"{len(pairs)} pairs, {batch} at a time", do="give 1 or more of both")
    measure = METRICS.get(metric) if isinstance(metric, str) else metric
    return Case(wide, components, pairs, measure, batch), data | {"rows": len(pairs)}


def _ids(pair: Pair) -> tuple[tuple[int, ...], ...]:
    return pair.clean, pair.counterfactual, pair.target, pair.against


def through(case: Case, patched: Bool[Tensor, "s r"], *, zero: bool = False) -> Float[Tensor, "n"]:
    """The metric of every row where some edges are patched."""
    found = []
    for bench in case.benches():
        if bool((patched & case.components.exists).any()):
            found.append(case.rewired(bench, case.absent(bench.rows, zero=zero), patched[None]))
        else:
            found.append(case.measure(bench.rows))
    return torch.cat(found)


def _edges(components: Components, found: Found) -> dict[Edge, float]:
    if found.edges is None:
        return {}
    table = found.edges.tolist()
    where = {edge: components.place(edge) for edge in found.tried or ()} or {
        (source, reader): (s, r)
        for r, reader in enumerate(components.readers)
        for s, source in enumerate(components.sources[: components.before(reader)])
    }
    return {edge: table[s][r] for edge, (s, r) in where.items()}


def _metric_name(metric: str | Metric) -> str:
    return metric if isinstance(metric, str) else f"{metric.__module__}.{metric.__qualname__}"


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """Values that JSON has: an infinite threshold is a word."""
    return {name: str(one) if isinstance(one, float) and abs(one) == float("inf") else one
            for name, one in config.items()}  # fmt: skip
