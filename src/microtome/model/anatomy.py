"""A family's table laid over one module: its layers' parts, their sizes, and their weights by reference."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from microtome.core.errors import NotSupported
from microtome.core.sites import KINDS, Site
from microtome.model.experts import Experts
from microtome.model.family import Family, Settings
from microtome.model.network import Network
from microtome.model.norms import Norm, measured

Activation = Callable[[Tensor], Tensor]


def matrix(module: nn.Module) -> Float[Tensor, "out in"]:
    """A projection's weight as (out, in), also where it is stored transposed.

    Raises:
        NotSupported: it has none that is a plain tensor, as where it is quantised or made of others.
    """
    try:
        weight = module.get_parameter("weight").detach()
    except AttributeError as error:
        raise NotSupported(
            "read the weight of a projection",
            found=f"a {type(module).__name__}, whose weight is no plain tensor",
            do="open the model before it is quantised, and with what is added to its weights merged into them",
        ) from error
    return weight.T if isinstance(module, Conv1D) else weight


def constant(module: nn.Module) -> Float[Tensor, "out"] | None:
    """A projection's bias, or None."""
    try:
        return module.get_parameter("bias").detach()
    except AttributeError:
        return None


@dataclass(frozen=True)
class Sizes:
    """d: residual width; h: query heads; g: key/value heads; c: head width; v: vocabulary."""

    d: int
    h: int
    g: int
    c: int
    v: int


class Layer:
    """One decoder layer's parts. Weights are views on the module's own: only experts, and what is scaled, are copied.

    Attributes:
        parallel: whether both branches read the stream that enters the layer.
        scale: by what the layer multiplies what a branch adds; in `w_o`, `b_o`, `w_down` and `b_down` already.
    """

    def __init__(self, block: nn.Module, family: Family, sizes: Sizes, settings: Settings):
        self.block, self.family, self.sizes = block, family, sizes
        self.parallel, self.scale = settings.parallel, settings.branch_scale
        self.attention = block.get_submodule(family.attention)
        self.heads_out = block.get_submodule(family.heads_out)
        self.mlp = block.get_submodule(family.mlp)
        self.experts = _experts(block, family)

    def part(self, path: str) -> nn.Module:
        """A module of this layer by its path in the family's table."""
        return self.block.get_submodule(path)

    @cached_property
    def attn_norm(self) -> Norm | None:
        """Before attention."""
        return self._norm(self.family.attn_norm)

    @cached_property
    def attn_post_norm(self) -> Norm | None:
        """On what attention gives."""
        return self._norm(self.family.attn_post_norm)

    @cached_property
    def mlp_norm(self) -> Norm | None:
        """Before the MLP."""
        return self._norm(self.family.mlp_norm)

    @cached_property
    def mlp_post_norm(self) -> Norm | None:
        """On what the MLP gives."""
        return self._norm(self.family.mlp_post_norm)

    def _norm(self, path: str | None) -> Norm | None:
        return None if path is None else measured(self.part(path))

    @property
    def w_v(self) -> Float[Tensor, "g c d"]:
        """Value weights, head by head."""
        return self._value_rows(matrix(self.part(self.family.values)))

    @property
    def b_v(self) -> Float[Tensor, "g c"] | None:
        """Value biases, or None."""
        bias = constant(self.part(self.family.values))
        return None if bias is None else self._value_rows(bias[:, None])[..., 0]

    def _value_rows(self, rows: Float[Tensor, "o n"]) -> Float[Tensor, "g c n"]:
        size = self.sizes
        layout = self.family.values_layout
        if layout == "heads":
            return rows.reshape(size.h, 3, size.c, -1)[:, 2]
        own = rows[-size.g * size.c :] if layout == "blocks" else rows
        return own.reshape(size.g, size.c, -1)

    @property
    def w_o(self) -> Float[Tensor, "d h c"]:
        """Output weights, head by head."""
        return _times(self.scale, matrix(self.heads_out)).reshape(self.sizes.d, self.sizes.h, self.sizes.c)

    @property
    def b_o(self) -> Float[Tensor, "d"] | None:
        """Output bias, or None."""
        bias = constant(self.heads_out)
        return None if bias is None else _times(self.scale, bias)

    @property
    def sinks(self) -> Float[Tensor, "h"] | None:
        """What each head's softmax holds beside its keys, or None."""
        found = self.attention._parameters.get("sinks")
        return None if found is None else found.detach()

    @property
    def n_units(self) -> int:
        """Hidden units of the MLP; with experts, over all of them."""
        if self.experts is not None:
            return self.experts.n_units
        return matrix(self.part(self.family.down)).shape[1]

    @property
    def gated(self) -> bool:
        """Whether a unit is a product of an activated gate and a second factor."""
        return self.experts is not None or self.family.mlp_layout != "plain"

    @property
    def w_gate(self) -> Float[Tensor, "u d"]:
        """What is activated; the only input matrix where there is no gate."""
        return self._gate_rows(first=True)

    @property
    def w_up(self) -> Float[Tensor, "u d"]:
        """The second factor's matrix, in gated MLPs."""
        return self._gate_rows(first=False)

    def _gate_rows(self, *, first: bool) -> Float[Tensor, "u d"]:
        if self.experts is not None:
            return self.experts.w_in(first=first)
        rows = matrix(self._projection(first=first))
        if self.family.mlp_layout == "fused":
            half = rows.shape[0] // 2
            return rows[:half] if first else rows[half:]
        return rows

    def _projection(self, *, first: bool) -> nn.Module:
        if first or self.family.up is None:
            return self.part(self.family.gate)
        return self.part(self.family.up)

    def bias_in(self, *, first: bool) -> Float[Tensor, "u"] | None:
        """The bias of the gate (`first`) or of the second factor, or None."""
        if self.experts is not None:
            return self.experts.bias_in(first=first)
        bias = constant(self._projection(first=first))
        if bias is None or self.family.mlp_layout != "fused":
            return bias
        half = bias.shape[0] // 2
        return bias[:half] if first else bias[half:]

    @property
    def w_down(self) -> Float[Tensor, "d u"]:
        """What each hidden unit writes, before any post-norm."""
        if self.experts is not None:
            return _times(self.scale, self.experts.w_down)
        return _times(self.scale, matrix(self.part(self.family.down)))

    @property
    def b_down(self) -> Float[Tensor, "d"] | None:
        """The down projection's bias, or None; of experts see `Experts.constant`."""
        bias = None if self.experts is not None else constant(self.part(self.family.down))
        return None if bias is None else _times(self.scale, bias)

    @property
    def activation(self) -> Activation:
        """The nonlinearity, as the module itself applies it; of experts see `Experts.units`."""
        return self.part(self.family.activation)


def _times(scale: float, weight: Tensor) -> Tensor:
    """The weight itself where nothing scales it."""
    return weight if scale == 1 else weight * scale


def _experts(block: nn.Module, family: Family) -> Experts | None:
    """The stacked experts where this layer has them; the config decides layer by layer."""
    if family.sparse is None:
        return None
    parent, _, name = family.sparse.experts.rpartition(".")
    found = dict(block.get_submodule(parent).named_children()).get(name)
    return None if found is None else Experts(found, block.get_submodule(family.sparse.router), family.sparse)


class Anatomy(Network):
    """A network whose parts have names, found by its family's table."""

    module: PreTrainedModel

    def __init__(self, module: PreTrainedModel, family: Family):
        super().__init__(module)
        self.config: PretrainedConfig = module.config.get_text_config()
        self.family = family = family.at(self.config)
        self.settings = family.settings(self.config)
        blocks = _blocks(module, family)
        self.sizes = _sizes(self.config, blocks[0], family, self.unembed)
        self.layers = [Layer(block, family, self.sizes, self.settings) for block in blocks]

    @property
    def embed(self) -> nn.Module:
        """The token embedding; its output is already scaled where a family scales."""
        return self.module.get_submodule(self.family.embed)

    @property
    def positions(self) -> nn.Module | None:
        """Learned positions, or None."""
        return None if self.family.positions is None else self.module.get_submodule(self.family.positions)

    @property
    def longest(self) -> int | None:
        """How many positions it was made for, or None; where it learned them one by one, there are no others."""
        return super().longest if self.positions is None else matrix(self.positions).shape[0]

    @property
    def final_norm_module(self) -> nn.Module:
        """The norm before the unembedding, as a module."""
        return self.module.get_submodule(self.family.final_norm)

    @cached_property
    def final_norm(self) -> Norm:
        """The norm before the unembedding, as a formula."""
        return measured(self.final_norm_module)

    @property
    def unembed(self) -> nn.Module:
        """The last projection."""
        return self.module.get_submodule(self.family.unembed)

    @property
    def w_u(self) -> Float[Tensor, "v d"]:
        """Unembedding rows, often the same tensor as the embedding's: never edited in place.

        Where a constant scales the logits it is in them, and they are a copy, made at each call.
        """
        return _times(self.settings.logit_scale, matrix(self.unembed))

    @property
    def b_u(self) -> Float[Tensor, "v"] | None:
        """The unembedding's bias, or None."""
        bias = constant(self.unembed)
        return None if bias is None else _times(self.settings.logit_scale, bias)

    @property
    def parallel(self) -> bool:
        """Whether both branches of a layer read the stream that enters it."""
        return self.settings.parallel

    def read_out(self, stream: Float[Tensor, "*b d"]) -> Float[Tensor, "*b v"]:
        """Logits of a stream: the network's own final norm and unembedding, scale and soft-cap included."""
        return self.capped(_times(self.settings.logit_scale, self.unembed(self.final_norm_module(stream))))

    @property
    def softcap(self) -> float | None:
        """The cap on the final logits, or None."""
        return self.settings.softcap

    def capped(self, logits: Float[Tensor, "*b v"]) -> Float[Tensor, "*b v"]:
        """Logits after the final soft-cap, cap · tanh(logits / cap), where there is one."""
        cap = self.softcap
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def uncapped(self, logits: Float[Tensor, "*b v"]) -> Float[Tensor, "*b v"]:
        """The opposite: capped logits as they were before."""
        cap = self.softcap
        return logits if cap is None else torch.atanh(logits / cap) * cap

    @property
    def n_layers(self) -> int:
        """Number of decoder layers."""
        return len(self.layers)

    @property
    def site_kinds(self) -> tuple[str, ...]:
        """The kinds of site that this network has."""
        absent = {"resid_mid"} if self.parallel else set()
        if self.family.mlp_layout == "plain":
            absent.add("mlp.up")
        if all(layer.experts is not None for layer in self.layers):
            absent |= {"mlp.gate", "mlp.up"}
        return tuple(kind.name for kind in KINDS if kind.name not in absent)

    def has(self, site: Site) -> bool:
        """Whether a layer has a site that its kind promises: sparse layers among dense ones lack two."""
        sparse = site.layer is not None and self.layers[site.layer].experts is not None
        return not (sparse and site.kind.name in ("mlp.gate", "mlp.up"))


def _blocks(module: PreTrainedModel, family: Family) -> list[nn.Module]:
    try:
        layers = module.get_submodule(family.layers)
    except AttributeError as error:
        raise NotSupported(
            f"open a {module.config.model_type} model of class {type(module).__name__}",
            found=f"it has no module {family.layers!r} ({error})",
            do="open the causal language model, not its base or another head",
        ) from error
    return [layers.get_submodule(name) for name, _ in layers.named_children()]


def _sizes(config: PretrainedConfig, block: nn.Module, family: Family, unembed: nn.Module) -> Sizes:
    """Head counts measured on the matrices: configs carry keys that some families ignore."""
    width, mixed = matrix(block.get_submodule(family.heads_out)).shape
    heads = config.num_attention_heads
    c = mixed // heads
    rows = matrix(block.get_submodule(family.values)).shape[0] // c
    groups = {"own": rows, "blocks": (rows - heads) // 2, "heads": heads}[family.values_layout]
    return Sizes(width, heads, groups, c, matrix(unembed).shape[0])


def dtype_of(module: nn.Module) -> torch.dtype:
    """The dtype of a module's weights."""
    return next(module.parameters()).dtype
