"""The opened model: the module, its tokenizer, its sites, its certificate, and the one way to run it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from microtome.core.errors import WrongUse
from microtome.core.sites import Site
from microtome.model.anatomy import Anatomy, dtype_of
from microtome.model.certificate import BATCHES, Certificate, relied_on
from microtome.model.decoding import Decoding
from microtome.model.direct_attribution import DirectAttribution, direct_attribution
from microtome.model.edit_values import means
from microtome.model.edits import Edits, OneEdit
from microtome.model.forward import Metric, forward
from microtome.model.generation import generate
from microtome.model.inputs import Batch, Side, check_ids, to_batch
from microtome.model.lens import LogitLens, logit_lens
from microtome.model.network import Network
from microtome.model.prediction import Prediction, predict
from microtome.model.resolving import one_site, resolved, unedited
from microtome.model.run import Run
from microtome.model.session import Resolved
from microtome.model.taps import named_parts
from microtome.model.tokens import readable


class Model:
    """A network that can be looked into. Made by `microtome.open`.

    Attributes:
        name: what it was opened as.
        network: what runs; an `Anatomy` where a family describes it.
        tokenizer: its tokenizer, or None.
        fingerprint: of weights as loaded, config and tokenizer.
        certificate: the errors measured at opening, or None before they are.
        in_force: the edits of the `edit` blocks around, with their values.
    """

    def __init__(
        self, module: nn.Module, tokenizer: PreTrainedTokenizerBase | None, network: Network, *, name: str,
        fingerprint: str,
    ):  # fmt: skip
        self.module, self.tokenizer, self.network = module, tokenizer, network
        self.name, self.fingerprint = name, fingerprint
        self.certificate: Certificate | None = None
        self.in_force: tuple[Resolved, ...] = ()

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
            size = self.network.sizes
            units = self.network.layers[0].n_units
            parts = f"{self.n_layers} layers, d={size.d}, {size.h} heads, {units} units a layer"
        else:
            parts = f"no family, {len(self.network.modules)} modules"
        return f"Model({self.name!r}: {self.network.kind}, {parts}, {self.card['dtype']} on {self.device})"

    def sites(self) -> list[str]:
        """Every site that this model has, in forward order.

        Outputs of modules (`module:PATH`) are sites of every model; they are listed where no family gives
        better names.
        """
        return [str(one) for one in self.network.table.every() if self.network.has(one)]

    def patterns(self) -> list[str]:
        """The same in few words: `resid.*`, `module:model.decoder.layers.*.fc1`."""
        return self.network.table.patterns()

    def site(self, name: str) -> Site:
        """The one site that a name means.

        Raises:
            SiteNotFound: it does not exist, or the pattern names several.
        """
        return one_site(self.network, name)

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
        return [readable(self.tokenizer, token) for token in rows[0]]

    def run(
        self,
        inputs: Any,
        capture: Sequence[str] = ("logits",),
        *,
        backward: Metric | None = None,
        edits: Edits = (),
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
        if batch.padded:
            relied_on(self.certificate, BATCHES, "run rows of different length")
        every = (*self.in_force, *resolved(self, edits))
        return forward(self.network, batch, capture, every, backward=backward, last_logits_only=last_logits_only)

    @property
    def edited(self) -> bool:
        """Whether edits are in force."""
        return bool(self.in_force)

    @contextmanager
    def edit(self, *edits: OneEdit) -> Iterator["Model"]:
        """Every run, prediction and generation inside the block has these edits; nested blocks add up.

        Means and counterfactuals are taken once, on entering, from the model without any edit.

        Raises:
            SiteNotFound: a site does not exist.
            WrongUse: something that is no edit.
        """
        before = self.in_force
        self.in_force = (*before, *resolved(self, edits))
        try:
            yield self
        finally:
            self.in_force = before

    def means(self, pattern: str | Sequence[str], texts: Any = None) -> dict[str, Float[Tensor, "2 ..."]]:
        """Mean values of sites over texts: what a unit gives when nothing in particular is asked of it.

        Row 0 is the mean at position 0, row 1 the mean over all others: position 0 holds a few enormous
        activations that would drown the rest. Edits in force have no part in it.

        Args:
            pattern: sites, or several patterns of them, whose axes after the position are fixed (not scores or
                patterns).
            texts: what to run; None for the shipped neutral prompts.

        Raises:
            WrongUse: the sites have no such mean, the texts are one token each, or there is no tokenizer for them.
        """
        return means(self.network.select(pattern), texts, partial(unedited, self))

    def generate(
        self,
        inputs: Any,
        *,
        max_new_tokens: int = 20,
        sample: bool = False,
        seed: int = 0,
        own_settings: bool = False,
        edits: Edits = (),
    ) -> list[str]:
        """Continues each row, under the edits in force, with a key/value cache.

        `microtome.model.generation.generate` gives the ids too, and captures sites on the way.

        Args:
            inputs: as for `run`; rows of different length are padded on the left.
            max_new_tokens: how many tokens to add at most.
            sample: draw from the distribution instead of taking the best token.
            seed: of the draw.
            own_settings: change logits as the model's own `generation_config` says (temperature, top_p, …) before a
                token is taken; without it a `GenerationWarning` names the settings that were left out.
            edits: interventions for this text alone, as for `run`.

        Returns:
            the new text of each row.

        Raises:
            WrongUse: fewer than one new token, more than the model has positions for, or a model without a tokenizer.
            NotSupported: the model's own settings ask for beams, or for anything but one token after another.
        """
        decoding = Decoding(max_new_tokens, sample, seed, own_settings)
        return generate(self, inputs, decoding, edits=edits).texts

    def predict(
        self,
        inputs: Any,
        *,
        top: int = 10,
        tokens: Sequence[str | int] | None = None,
        edits: Edits = (),
    ) -> Prediction:
        """The most probable next tokens of one input, or those that are named.

        Args:
            inputs: one input, as for `run`.
            top: how many.
            tokens: these instead, by text or id, in this order.
            edits: interventions for this prediction alone, as for `run`.

        Raises:
            NotFound: a text is not one token.
            WrongUse: several rows, or fewer than one token asked for.
        """
        return predict(self, inputs, top, tokens, edits)

    def logit_lens(
        self,
        inputs: Any,
        *,
        target: str | int | None = None,
        edits: Edits = (),
    ) -> LogitLens:
        """What the unembedding reads from the stream entering each layer, and from its end, at every position.

        nostalgebraist 2020, "interpreting GPT: the logit lens".

        Args:
            inputs: one input, as for `run`.
            target: a token, by text or id, whose rank, logit and probability at each depth are given too.
            edits: interventions for this reading alone, as for `run`.

        Raises:
            NotFound: the target is not one token.
            WrongUse: several rows.
        """
        return logit_lens(self, inputs, target, edits)

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
