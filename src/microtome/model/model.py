"""The opened model: the module, its tokenizer, its sites, its certificate, and the one way to run it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from microtome.core.errors import NotSupported, SiteNotFound, WrongUse
from microtome.core.sites import Site, Sites, site
from microtome.model.anatomy import Anatomy, dtype_of
from microtome.model.attention import NAME as WATCHED_ATTENTION
from microtome.model.edit_positions import SiteValue
from microtome.model.edit_values import Transforms, means, values
from microtome.model.edits import Edit, those
from microtome.model.generation import generate
from microtome.model.inputs import Batch, Side, check_ids, to_batch
from microtome.model.lens import DirectAttribution, LogitLens, Prediction, direct_attribution, logit_lens, predict
from microtome.model.network import Network
from microtome.model.neutral import NEUTRAL
from microtome.model.run import Run, aligned
from microtome.model.session import Resolved, Session, run_once
from microtome.model.taps import named_parts
from microtome.model.unit_edits import ByUnits, by_units

if TYPE_CHECKING:
    from microtome.model.certificate import Certificate

Metric = Callable[[Float[Tensor, "b p v"]], Float[Tensor, ""]]
INSIDE_ATTENTION = frozenset({"attn.q", "attn.k", "attn.v", "attn.scores", "attn.pattern"})


class Model:
    """A network that can be looked into. Made by `microtome.open`.

    Attributes:
        name: what it was opened as.
        network: what runs; an `Anatomy` where a family describes it.
        tokenizer: its tokenizer, or None.
        fingerprint: of weights as loaded, config and tokenizer.
        certificate: the errors measured at opening, or None before they are.
    """

    def __init__(
        self, module: nn.Module, tokenizer: PreTrainedTokenizerBase | None, network: Network, *, name: str,
        fingerprint: str,
    ):  # fmt: skip
        self.module, self.tokenizer, self.network = module, tokenizer, network
        self.name, self.fingerprint = name, fingerprint
        self.certificate: Certificate | None = None
        self._edits: tuple[Resolved, ...] = ()

    @property
    def anatomy(self) -> Anatomy:
        """Its parts by name.

        Raises:
            NotSupported: no family describes the network; it runs, and its modules can be captured and edited.
        """
        return named_parts(self.network)

    @property
    def n_layers(self) -> int:
        """Number of decoder layers; 0 where no family describes the network."""
        return self.network.n_layers

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.module.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, as opened."""
        return dtype_of(self.module)

    @property
    def card(self) -> dict[str, str]:
        """What a run card says of the model."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    def __repr__(self) -> str:
        if isinstance(self.network, Anatomy):
            size, units = self.network.sizes, self.network.layers[0].n_units
            parts = f"{self.n_layers} layers, d={size.d}, {size.h} heads, {units} units a layer"
        else:
            parts = f"no family, {len(self.network.modules)} modules"
        return f"Model({self.name!r}: {self.network.kind}, {parts}, {self.card['dtype']} on {self.device})"

    def sites(self) -> list[str]:
        """Every site that this model has, in forward order.

        Outputs of modules (`module:PATH`) are sites of every model; they are listed where no family gives
        better names.
        """
        return [str(one) for one in self._table().every() if self.network.has(one)]

    def patterns(self) -> list[str]:
        """The same in few words: `resid.*`, `module:model.decoder.layers.*.fc1`."""
        return self._table().patterns()

    def site(self, name: str) -> Site:
        """The one site that a name means.

        Raises:
            SiteNotFound: it does not exist, or the pattern names several.
        """
        found = self._sites(name)
        if len(found) != 1:
            raise SiteNotFound(
                f"find the site {name!r}",
                found=f"a pattern for {len(found)} sites",
                do=f"name one, such as {found[0]}",
            )
        return found[0]

    def _table(self) -> Sites:
        kinds = self.network.site_kinds
        if self.network.attention != WATCHED_ATTENTION:
            kinds = tuple(kind for kind in kinds if kind not in INSIDE_ATTENTION)
        return Sites(self.n_layers, kinds, tuple(self.network.modules))

    def batch(self, inputs: Any, *, padding: Side | None = None) -> Batch:
        """Text, texts, ids or chat messages as padded ids on the model's device.

        Raises:
            WrongUse: an empty row, ids or positions that the model does not have, or an input of another kind.
        """
        made = to_batch(inputs, self.tokenizer, self.device, padding)
        return check_ids(made, self.network.vocabulary, self.network.longest)

    def tokens(self, inputs: Any) -> list[str]:
        """The texts of the tokens of one input, as the tokenizer gives them.

        Raises:
            WrongUse: the model has no tokenizer, or the input has several rows.
        """
        rows = self.batch(inputs).tokens
        if self.tokenizer is None or len(rows) != 1:
            raise WrongUse(
                "show tokens",
                found="no tokenizer" if self.tokenizer is None else f"{len(rows)} rows",
                do="open the model with its tokenizer, and give one text",
            )
        return [str(self.tokenizer.decode([token])) for token in rows[0]]

    def run(
        self,
        inputs: Any,
        capture: Sequence[str] = ("logits",),
        *,
        backward: Metric | None = None,
        edits: Edit | Iterable[Edit] = (),
        padding: Side | None = None,
        last_logits_only: bool = False,
    ) -> Run:
        """Runs the model once and returns only what was asked.

        The pass ends after the last site that is captured or edited.

        Args:
            inputs: a text, texts, chat messages, or token ids.
            capture: sites or patterns, e.g. `["resid.15", "mlp.neurons.*", "logits"]`.
            backward: a metric, from logits `[b, p, v]` (token 0 first, zero at padding) to one number;
                then `run.grad[site]` holds its gradients at the captured sites.
            edits: interventions for this run alone, one or several, after those of `model.edit`.
            padding: side on which shorter rows are padded; None means the right, or as a `Batch` has it.
                Positions never count it.
            last_logits_only: compute logits at the last position alone: `logits` is `[b, 1, v]`.

        Raises:
            SiteNotFound: a site, position or unit does not exist.
            SiteDidNotFire, EditTouchedNothing: something asked for stayed silent.
            WrongUse: inputs that cannot be run, or `edits` that are none.
        """
        batch = self.batch(inputs, padding=padding)
        if last_logits_only and batch.padded and batch.side == "right":
            raise WrongUse(
                "run with last_logits_only",
                found="rows of different lengths, padded on the right",
                do='pass padding="left", so that every row ends at the last position',
            )
        wanted = self._select(capture)
        ends = [] if backward is None else [*(kind for kind in ("embed",) if kind in self._table().kinds), "logits"]
        inner = tuple(dict.fromkeys((*wanted, *self._select(ends))))
        session = Session(
            self.network,
            batch,
            inner,
            (*self._edits, *self._resolved(edits)),
            gradients=backward is not None,
            stop=True,
        )
        run_once(session, last_logits_only=last_logits_only)
        session.check()
        if last_logits_only and site("logits") in session.captured:  # not every network can leave the others out
            session.captured[site("logits")] = session.captured[site("logits")][:, -1:]
        grads: dict[Site, Tensor] = {}
        metric = None
        if backward is not None:
            logits = session.captured[site("logits")]
            score = backward(logits if last_logits_only else aligned(site("logits"), logits, batch))
            metric, grads = _gradients(score, wanted, session)
        return self._packed(session, wanted, grads, metric, whole=not last_logits_only)

    def _packed(
        self,
        session: Session,
        wanted: tuple[Site, ...],
        grads: dict[Site, Tensor],
        metric: float | None,
        *,
        whole: bool,
    ) -> Run:
        batch = session.batch

        def pack(found: dict[Site, Tensor]) -> dict[str, Tensor]:
            return {
                str(one): aligned(one, found[one].detach(), batch)
                if whole or str(one) != "logits"
                else found[one].detach()
                for one in wanted
                if one in found
            }

        return Run(pack(session.captured), pack(grads), metric, batch, self._table())

    def _select(self, patterns: Sequence[str]) -> tuple[Site, ...]:
        if isinstance(patterns, str):
            patterns = [patterns]
        found = [one for pattern in patterns for one in self._sites(pattern)]
        return tuple(dict.fromkeys(found))

    def _sites(self, pattern: str) -> list[Site]:
        kind = pattern.rpartition(".")[0]
        table = self._table()
        if kind in INSIDE_ATTENTION and kind in self.network.site_kinds and kind not in table.kinds:
            raise NotSupported(
                f"watch {pattern}",
                found=f"the model was opened with attention={self.network.attention!r}",
                do="open it without the attention argument: its own attention can be watched",
            )
        return table.select(pattern)

    @property
    def edited(self) -> bool:
        """Whether edits are in force."""
        return bool(self._edits)

    @contextmanager
    def edit(self, *edits: Edit) -> Iterator["Model"]:
        """Every run, prediction and generation inside the block has these edits; nested blocks add up.

        Means and counterfactuals are taken once, on entering, from the model without any edit.

        Raises:
            SiteNotFound: a site does not exist.
            WrongUse: something that is no edit.
        """
        before = self._edits
        self._edits = (*before, *self._resolved(edits))
        try:
            yield self
        finally:
            self._edits = before

    def _resolved(self, edits: Edit | Iterable[Edit]) -> tuple[Resolved, ...]:
        return tuple((edit, self._values(edit)) for edit in those(edits))

    def _values(self, edit: Edit) -> Mapping[Site, SiteValue | ByUnits]:
        if isinstance(edit.site, str):
            return values(edit, self._sites(edit.site), self._unedited)
        return by_units(edit, edit.site, self.site, self._unedited)

    def _unedited(self, inputs: Any, capture: Sequence[str]) -> Run:
        if inputs is None and self.tokenizer is None:
            raise WrongUse(
                "take means over the neutral prompts, the baseline where there is no counterfactual",
                found="texts, for a model without a tokenizer",
                do="give a counterfactual (of an edit: its source) as token ids, or open the model with its tokenizer",
            )
        before, self._edits = self._edits, ()
        try:
            return self.run(NEUTRAL if inputs is None else inputs, capture)
        finally:
            self._edits = before

    def means(
        self, pattern: str | Sequence[str], texts: Any = None, transforms: Transforms | None = None
    ) -> dict[str, Float[Tensor, "2 ..."]]:
        """Mean values of sites over texts: what a unit gives when nothing in particular is asked of it.

        Row 0 is the mean at position 0, row 1 the mean over all others: position 0 holds a few enormous
        activations that would drown the rest. Edits in force have no part in it.

        Args:
            pattern: sites, or several patterns of them, whose axes after the position are fixed (not scores or
                patterns).
            texts: what to run; None for the shipped neutral prompts.
            transforms: by site, what its tensor `[b, p, …]` is turned into before the mean is taken.

        Raises:
            WrongUse: the sites have no such mean, the texts are one token each, or there is no tokenizer for them.
        """
        patterns = [pattern] if isinstance(pattern, str) else pattern
        return means([one for each in patterns for one in self._sites(each)], texts, self._unedited, transforms)

    def generate(self, inputs: Any, *, max_new_tokens: int = 20, sample: bool = False, seed: int = 0) -> list[str]:
        """Continues each row, under the edits in force, with a key/value cache.

        Args:
            inputs: as for `run`; rows of different length are padded on the left.
            max_new_tokens: how many tokens to add at most.
            sample: draw from the distribution instead of taking the best token.
            seed: of the draw.

        Returns:
            the new text of each row.

        Raises:
            WrongUse: fewer than one new token, or a model without a tokenizer.
        """
        if not self.network.generates:
            raise self._lacking("generate", "no way to generate")
        return generate(self, self._edits, inputs, max_new_tokens, sample=sample, seed=seed)

    def predict(self, inputs: Any, *, top: int = 10) -> Prediction:
        """The most probable next tokens of one input.

        Raises:
            WrongUse: several rows, or fewer than one token asked for.
        """
        if isinstance(self.module, PreTrainedModel) and not self.network.generates:
            raise self._lacking("predict the next token", "no logits of a next token")
        return predict(self, inputs, top)

    def _lacking(self, what: str, lacks: str) -> NotSupported:
        return NotSupported(
            f"{what} with {self.name!r}",
            found=f"a {type(self.module).__name__}, which has {lacks}",
            do="open a causal language model of transformers, or capture what this one gives with `model.run`",
        )

    def logit_lens(self, inputs: Any) -> LogitLens:
        """What the unembedding reads from the stream entering each layer, and from its end, at every position.

        nostalgebraist 2020, "interpreting GPT: the logit lens".

        Raises:
            WrongUse: several rows.
        """
        return logit_lens(self, inputs)

    def direct_attribution(
        self, inputs: Any, target: str | int, against: str | int | None = None, *, position: int = -1
    ) -> DirectAttribution:
        """How much each branch, and each head, adds directly to a difference of two logits.

        The final norm is held at its scale, and so are norms after branches; the parts add up to the
        difference of the logits before any soft-cap. What a part does through later layers is not in it.
        Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits".

        Args:
            inputs: one prompt.
            target: a token, by text or id.
            against: another; None for the mean logit.
            position: which token's stream is read; negative from the end.

        Raises:
            NotFound: a text is not one token, or the position does not exist.
            WrongUse: several rows, or an id that the model does not have.
        """
        return direct_attribution(self, inputs, target, against, position)


def _gradients(score: Any, wanted: tuple[Site, ...], session: Session) -> tuple[float, dict[Site, Tensor]]:
    """A metric's value and its gradients at sites; zeros where it does not depend on one."""
    if not isinstance(score, Tensor) or score.ndim or not score.requires_grad:
        shape = f"shape {list(score.shape)}" if isinstance(score, Tensor) and score.ndim else "no gradient"
        raise WrongUse(
            "run backward from a metric",
            found=f"a metric of type {type(score).__name__} and {shape}",
            do="return one number computed from the logits by torch, such as logits[0, -1, 5]",
        )
    tensors = [session.captured[one] for one in wanted]
    grads = torch.autograd.grad(score, tensors, allow_unused=True, materialize_grads=True) if tensors else ()
    return float(score.detach()), dict(zip(wanted, grads, strict=True))
