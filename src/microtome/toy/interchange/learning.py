"""Strict interchange intervention training: a network is held to a program by what interchanges have to change.

Three losses. On the input as it is, the cross-entropy of what the program says. With one node of the program taken from
another input, the cross-entropy of what the program says then. And with nodes of no part in it taken from the other
input, the squared change of the logits, weighed 0.4. Gradients flow into both inputs.

Geiger et al. 2022, arXiv:2112.00826 (interchange intervention training); Gupta et al. 2024, arXiv:2407.14494, section 3
(the strict loss and the weights). There the strict loss asks for the same answer; nodes that stay clear of changing it
still move logits by several percent of what the program's do, so here it asks for the same logits.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import AdamW
from transformers import GPT2Config, GPT2LMHeadModel

from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.core.progress import working
from microtome.toy.compiled.programs import PROGRAMS
from microtome.toy.gpt2 import blocks
from microtome.toy.interchange.alignment import Alignment, aligned
from microtome.toy.interchange.rows import UNSAID, Interchanges, interchanges

POSITIONS = 64
STRICT = 0.4
SURE = 1e-3  # label smoothing: logits stop to grow, and what is left to learn is to hold the other nodes


@dataclass(frozen=True)
class InterchangeConfig(Config):
    """The network and how it learns.

    Attributes:
        program: a name in `PROGRAMS`.
        layers, heads: of the network; heads are of a layer.
        width: of the residual stream; MLPs have four times as many units.
        steps: of AdamW.
        rows: a step.
        pairs: of inputs drawn for each node of the program, to learn from.
        lr: at its highest; it rises over 50 steps, and falls to zero over the last half.
        seed: of places, weights and inputs.

    Raises:
        UnknownName: no program is called so.
        WrongUse: a number below 1, or a width that the heads do not divide.
    """

    program: str
    layers: int = 2
    heads: int = 4
    width: int = 48
    steps: int = 1000
    rows: int = 128
    pairs: int = 4000
    lr: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        PROGRAMS.get(self.program)
        if min(self.layers, self.heads, self.width, self.steps, self.rows, self.pairs) < 1 or self.width % self.heads:
            raise WrongUse(
                "train a network held to a program",
                found=f"{self.layers} layers of {self.heads} heads, width {self.width}, {self.steps} steps of "
                f"{self.rows} rows, {self.pairs} pairs",
                do="give one of each or more, and a width that the heads divide",
            )  # fmt: skip

    @property
    def alignment(self) -> Alignment:
        """The program over the network.

        Raises:
            WrongUse: the network is too small for it.
        """
        return aligned(PROGRAMS.get(self.program), self.layers, self.heads, self.seed)


def network(config: InterchangeConfig, words: tuple[str, ...]) -> GPT2LMHeadModel:
    """A GPT-2 as it begins training, drawn from the seed."""
    shape = GPT2Config(
        vocab_size=len(words), n_positions=POSITIONS, n_embd=config.width, n_layer=config.layers, n_head=config.heads,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0, tie_word_embeddings=False,
        initializer_range=0.1,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return GPT2LMHeadModel(shape)


def learn(module: GPT2LMHeadModel, config: InterchangeConfig, words: tuple[str, ...]) -> list[float]:
    """Trains it in place; returns the loss of each step."""
    of = config.alignment
    rows = interchanges(of, words, config.pairs, config.seed)
    random = torch.Generator().manual_seed(config.seed)
    weights = list(module.train().parameters())
    optimiser = AdamW(weights, lr=config.lr, weight_decay=0.01)
    losses = []
    with working(f"{config.program} by interchanges", config.steps) as step:
        for i in range(config.steps):
            optimiser.param_groups[0]["lr"] = config.lr * min(1.0, (i + 1) / 50, 2 * (1 - i / config.steps))
            batch = rows.at(torch.randint(len(rows.node), (config.rows,), generator=random))
            loss = _loss(module, of, batch, random)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            losses.append(loss.item())
            step()
    module.eval().requires_grad_(False)
    return losses


def _loss(
    module: GPT2LMHeadModel, of: Alignment, batch: Interchanges, random: torch.Generator
) -> Float[Tensor, ""]:  # fmt: skip
    """Of a batch: every input three times over, as it is, with a node of the program, and with others."""
    n = len(batch.node)
    own = torch.eye(len(of.at), dtype=torch.bool)[batch.node]
    others = torch.rand(n, len(of.others), generator=random) < torch.rand(n, 1, generator=random)
    places = {name: torch.zeros(3 * n, dtype=torch.bool) for name in of.nodes}
    for i, name in enumerate(of.at):
        places[name][n : 2 * n] = own[:, i]
    for i, name in enumerate(of.others):
        places[name][2 * n :] = others[:, i]
    plain, changed, strict = swapped(module, batch, places).transpose(1, 2).chunk(3)
    told = batch.plain != UNSAID
    moved = strict - plain.detach()
    moved = (moved - moved.mean(1, keepdim=True)).square().mean(1)
    return (
        cross_entropy(plain, batch.plain, ignore_index=UNSAID, label_smoothing=SURE)
        + cross_entropy(changed, batch.changed, ignore_index=UNSAID, label_smoothing=SURE)
        + STRICT * moved[told].mean()
    )


def swapped(
    module: GPT2LMHeadModel, batch: Interchanges, places: Mapping[str, Bool[Tensor, " r"]]
) -> Float[Tensor, "r p v"]:  # fmt: skip
    """Logits on the base, as many times over as `places` are longer, nodes taken from the source where these say."""
    times = len(next(iter(places.values()))) // len(batch.node)
    with _taking(module) as taken:
        module(batch.source, use_cache=False)
    with _putting(module, {site: one.repeat(times, 1, 1) for site, one in taken.items()}, places):
        return module(batch.base.repeat(times, 1), use_cache=False).logits


@contextmanager
def _taking(module: GPT2LMHeadModel) -> Iterator[dict[str, Tensor]]:
    """What heads and MLPs write, by layer, while it runs."""
    taken: dict[str, Tensor] = {}

    def take(name: str, tensor: Tensor) -> Tensor:
        taken[name] = tensor
        return tensor

    with _hooked(module, take):
        yield taken


@contextmanager
def _putting(
    module: GPT2LMHeadModel, source: Mapping[str, Tensor], places: Mapping[str, Bool[Tensor, " r"]]
) -> Iterator[None]:  # fmt: skip
    def put(name: str, tensor: Tensor) -> Tensor:
        kind, layer = name.split(".")
        if kind == "mlp":
            return torch.where(places[name][:, None, None], source[name], tensor)
        own = torch.stack([places[f"head.{layer}.{head}"] for head in range(module.config.n_head)], 1)
        wide = own.repeat_interleave(tensor.shape[-1] // own.shape[1], 1)[:, None]
        return torch.where(wide, source[name], tensor)

    with _hooked(module, put):
        yield


@contextmanager
def _hooked(module: GPT2LMHeadModel, change: Callable[[str, Tensor], Tensor]) -> Iterator[None]:
    """Lets `change(name, tensor)` stand for the mix of all heads of a layer, before W_O, and for what its MLP adds."""
    with ExitStack() as stack:
        for layer, block in enumerate(blocks(module)):
            mix, mlp = f"heads.{layer}", f"mlp.{layer}"
            at_mix = block.attn.c_proj.register_forward_pre_hook(lambda _, args, name=mix: (change(name, args[0]),))
            at_mlp = block.mlp.register_forward_hook(lambda _, args, out, name=mlp: change(name, out))
            stack.callback(at_mix.remove)
            stack.callback(at_mlp.remove)
        yield
