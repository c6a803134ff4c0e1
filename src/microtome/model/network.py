"""A network as it was loaded: a module that can be called, the modules inside it, and nothing known of its parts."""

import inspect
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from microtome.core.errors import NotSupported, WrongUse
from microtome.core.sites import Site, Sites
from microtome.model.attention import NAME as WATCHED_ATTENTION
from microtome.model.inputs import Batch

CONTAINERS = (nn.ModuleList, nn.ModuleDict)
CACHES = ("cache", "past_key_values")  # the second until transformers 5.24
INSIDE_ATTENTION = frozenset({"attn.q", "attn.k", "attn.v", "attn.scores", "attn.pattern"})


class Network:
    """What every network has. One that a family describes is an `Anatomy`, and has names for its parts too."""

    def __init__(self, module: nn.Module):
        self.module = module

    @property
    def kind(self) -> str:
        """Its architecture: the `model_type` of its config, or its class."""
        return self.module.config.model_type if isinstance(self.module, PreTrainedModel) else type(self.module).__name__

    @property
    def attention(self) -> str:
        """The name of the attention that it runs with."""
        return str(self.module.config._attn_implementation) if isinstance(self.module, PreTrainedModel) else "unnamed"

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        """Every module inside that can be called, by its path; one with two paths stands under both."""
        named = self.module.named_modules(remove_duplicate=False)
        return {path: one for path, one in named if path and not isinstance(one, CONTAINERS)}

    @property
    def n_layers(self) -> int:
        """How many layers have names."""
        return 0

    @property
    def site_kinds(self) -> tuple[str, ...]:
        """The kinds of site, beside its modules' outputs, that this network has."""
        headless = isinstance(self.module, PreTrainedModel) and self.module.get_output_embeddings() is None
        return () if headless else ("logits",)

    def has(self, site: Site) -> bool:
        """Whether a layer has a site that its kind promises."""
        return True

    @property
    def table(self) -> Sites:
        """Every site that its kinds and modules promise."""
        kinds = self.site_kinds
        if self.attention != WATCHED_ATTENTION:
            kinds = tuple(kind for kind in kinds if kind not in INSIDE_ATTENTION)
        return Sites(self.n_layers, kinds, tuple(self.modules))

    def select(self, patterns: str | Sequence[str]) -> tuple[Site, ...]:
        """The sites of one or several patterns, each once.

        Raises:
            SiteNotFound: there is none.
            NotSupported: it lies inside an attention that cannot be watched.
        """
        table = self.table
        found: dict[Site, None] = {}
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            kind = pattern.rpartition(".")[0]
            if kind in INSIDE_ATTENTION and kind in self.site_kinds and kind not in table.kinds:
                raise NotSupported(
                    f"watch {pattern}",
                    found=f"the model was opened with attention={self.attention!r}",
                    do="open it without the attention argument: its own attention can be watched",
                )
            found |= dict.fromkeys(table.select(pattern))
        return tuple(found)

    def lacking(self, what: str, lacks: str) -> NotSupported:
        """The error for something that needs a causal language model of transformers."""
        return NotSupported(
            what,
            found=f"a {type(self.module).__name__}, which has {lacks}",
            do="open a causal language model of transformers, or capture what this one gives with `model.run`",
        )

    @property
    def generates(self) -> bool:
        """Whether transformers can generate with it."""
        return isinstance(self.module, PreTrainedModel) and self.module.can_generate()

    @property
    def vocabulary(self) -> int | None:
        """How many token ids it embeds; None where that cannot be told."""
        if not isinstance(self.module, PreTrainedModel):
            return None
        return self.module.get_input_embeddings().get_parameter("weight").shape[0]

    @property
    def longest(self) -> int | None:
        """How many positions it was made for; None where that cannot be told."""
        config = self.module.config.get_text_config() if isinstance(self.module, PreTrainedModel) else None
        found = None if config is None else config.to_dict().get("max_position_embeddings")
        return found if isinstance(found, int) else None

    @cached_property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.module.forward).parameters

    def takes(self, argument: str) -> bool:
        """Whether its forward pass has a use for an argument, as far as its signature says."""
        passes_on = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in self._parameters.values())
        return argument in self._parameters or (passes_on and not isinstance(self.module, PreTrainedModel))

    @property
    def cache(self) -> str | None:
        """What its forward pass and its output call a key/value cache of transformers; None where it takes none."""
        return next((name for name in CACHES if self.takes(name)), None)

    def call(self, batch: Batch, *, last_logits_only: bool = False) -> Any:
        """Calls the module, as transformers documents it, with what it takes of ids, mask and positions.

        Raises:
            WrongUse: the rows are of different length, and the module takes no mask.
        """
        arguments: dict[str, Any] = {"use_cache": False}
        if batch.padded:
            if not self.takes("attention_mask"):
                raise WrongUse(
                    "run rows of different length",
                    found=f"a {type(self.module).__name__}, which takes no attention_mask",
                    do="run rows of one length",
                )
            arguments["attention_mask"] = batch.mask.long()
        if batch.padded and batch.side == "left":
            arguments["position_ids"] = (batch.mask.long().cumsum(1) - 1).clamp(min=0)
        if last_logits_only:
            arguments["logits_to_keep"] = 1
        return self.module(batch.ids, **{name: one for name, one in arguments.items() if self.takes(name)})


def carried(output: Any) -> Tensor | None:
    """The tensor that a module's output stands for: itself, its logits, or the first tensor in it."""
    if isinstance(output, Tensor):
        return output
    return None if (key := _key(output)) is None else output[key]


def carrying(output: Any, new: Tensor) -> Any:
    """The output with another tensor in that place."""
    key = _key(output)
    if key is None:
        return new
    if isinstance(output, Mapping):
        return type(output)(**{**output, key: new})
    parts = [new if i == key else one for i, one in enumerate(output)]
    return type(output)(*parts) if isinstance(output, tuple) and type(output) is not tuple else type(output)(parts)


def _key(output: Any) -> Any:
    """Where in a mapping or a sequence that tensor is; None for a tensor, and where there is none."""
    if isinstance(output, Mapping):
        named = {name: one for name, one in output.items() if isinstance(one, Tensor)}
        return "logits" if "logits" in named else next(iter(named), None)
    if isinstance(output, tuple | list):
        return next((i for i, one in enumerate(output) if isinstance(one, Tensor)), None)
    return None
