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
from microtome.model.family import Family
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
    """One decoder layer's parts. Weights are views on the module's own: nothing is copied but experts."""

    def __init__(self, block: nn.Module, family: Family, sizes: Sizes, *, parallel: bool):
        self.block, self.family, self.sizes, self.parallel = block, family, sizes, parallel
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
        return matrix(self.heads_out).reshape(self.sizes.d, self.sizes.h, self.sizes.c)

    @property
    def b_o(self) -> Float[Tensor, "d"] | None:
        """Output bias, or None."""
        return constant(self.heads_out)

    @property
    def n_units(self) -> int:
        """Hidden units of the MLP; with experts, over all of them."""
        if self.experts is not None:
            down = self.experts.get_parameter("down_proj")
            return down.shape[0] * down.shape[2]
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
            both = self.experts.get_parameter("gate_up_proj").detach()
            half = both.shape[1] // 2
            return (both[:, :half] if first else both[:, half:]).reshape(-1, both.shape[2])
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
            return None
        bias = constant(self._projection(first=first))
        if bias is None or self.family.mlp_layout != "fused":
            return bias
        half = bias.shape[0] // 2
        return bias[:half] if first else bias[half:]

    @property
    def w_down(self) -> Float[Tensor, "d u"]:
        """What each hidden unit writes, before any post-norm."""
        if self.experts is not None:
            down = self.experts.get_parameter("down_proj").detach()
            return down.permute(1, 0, 2).reshape(down.shape[1], -1)
        return matrix(self.part(self.family.down))

    @property
    def b_down(self) -> Float[Tensor, "d"] | None:
        """The down projection's bias, or None."""
        return None if self.experts is not None else constant(self.part(self.family.down))

    @property
    def activation(self) -> Activation:
        """The nonlinearity, as the module itself applies it."""
        if self.experts is not None:
            return self.experts.get_submodule("act_fn")
        return self.part(self.family.activation)


def _experts(block: nn.Module, family: Family) -> nn.Module | None:
    """The stacked experts where this layer has them; the config decides layer by layer."""
    if family.experts is None:
        return None
    parent, _, name = family.experts.rpartition(".")
    return dict(block.get_submodule(parent).named_children()).get(name)


class Anatomy(Network):
    """A network whose parts have names, found by its family's table."""

    module: PreTrainedModel

    def __init__(self, module: PreTrainedModel, family: Family):
        super().__init__(module)
        self.family = family
        self.config: PretrainedConfig = module.config.get_text_config()
        self.parallel = family.parallel(self.config)
        blocks = _blocks(module, family)
        self.sizes = _sizes(self.config, blocks[0], family, self.unembed)
        self.layers = [Layer(block, family, self.sizes, parallel=self.parallel) for block in blocks]

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
        """Unembedding rows, often the same tensor as the embedding's: never edited in place."""
        return matrix(self.unembed)

    @property
    def b_u(self) -> Float[Tensor, "v"] | None:
        """The unembedding's bias, or None."""
        return constant(self.unembed)

    @property
    def softcap(self) -> float | None:
        """The cap on the final logits, or None."""
        key = self.family.softcap
        return None if key is None else getattr(self.config, key)

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
