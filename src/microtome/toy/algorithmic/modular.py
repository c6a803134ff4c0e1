"""Addition modulo a prime: one layer that learns to add on a circle, long after it knows its sums by heart.

A row is a BOS, two numbers, and `=`, after which the sum is asked for. The network sees a part of all sums, over and
over, and with strong weight decay it goes from knowing these to knowing all: Power et al. 2022, arXiv:2201.02177
(grokking); Nanda et al. 2023, arXiv:2301.05217 (how such a network adds: by waves of a few frequencies).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import AdamW
from transformers import GPT2Config, GPT2LMHeadModel

from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.core.progress import working

BOS, FIRST = 0, 1
"""The BOS, and the number 0: those after it follow, and then `=`."""
LENGTH = 4
POSITIONS = 64  # so that what runs texts of its own through a model can


@dataclass(frozen=True)
class ModularConfig(Config):
    """The network, its sums and how it learns.

    Attributes:
        modulus: a prime; numbers are below it.
        width: of the residual stream; the MLP has four times as many units.
        heads: of its one layer.
        seen: share of all sums that it learns from.
        steps: of AdamW, each on all that it sees.
        lr: at its highest; it falls to zero over the last third.
        decay: of weights.
        seed: of weights, and of which sums it sees.

    Raises:
        WrongUse: an even modulus or one below 5, or nothing to see.
    """

    modulus: int = 59
    width: int = 64
    heads: int = 4
    seen: float = 0.6
    steps: int = 1500
    lr: float = 3e-3
    decay: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.modulus < 5 or self.modulus % 2 == 0 or not 0 < self.seen < 1:
            raise WrongUse(
                "train modular addition", found=f"modulus={self.modulus}, seen={self.seen:g}",
                do="give a prime of 5 or more, and a share between 0 and 1",
            )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sums:
    """Every sum of two numbers, in order: `first` varies slowest.

    Attributes:
        ids: BOS, first, second, `=`.
        answers: token ids of the sums.
        seen: places of those that were learned from.
        unseen: of the others.
    """

    ids: Int[Tensor, "b p"]
    answers: Int[Tensor, " b"]
    seen: Int[Tensor, " s"]
    unseen: Int[Tensor, " t"]


def sums(config: ModularConfig) -> Sums:
    """All sums, and which of them the network sees."""
    numbers = torch.arange(config.modulus)
    first, second = (one.flatten() for one in torch.meshgrid(numbers, numbers, indexing="ij"))
    bos, equals = torch.full_like(first, BOS), torch.full_like(first, FIRST + config.modulus)
    order = torch.randperm(len(first), generator=torch.Generator().manual_seed(config.seed))
    cut = round(config.seen * len(first))
    ids = torch.stack([bos, FIRST + first, FIRST + second, equals], 1)
    return Sums(ids, FIRST + (first + second) % config.modulus, order[:cut].sort().values, order[cut:].sort().values)


def network(config: ModularConfig) -> GPT2LMHeadModel:
    """A GPT-2 of one layer, drawn from the seed."""
    shape = GPT2Config(
        vocab_size=config.modulus + 2, n_positions=POSITIONS, n_embd=config.width, n_layer=1, n_head=config.heads,
        activation_function="relu", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=BOS,
        eos_token_id=BOS, tie_word_embeddings=False, initializer_range=config.width**-0.5,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return GPT2LMHeadModel(shape)


def learn(module: GPT2LMHeadModel, config: ModularConfig) -> list[float]:
    """Trains it in place; returns the loss of each step on what it sees."""
    known = sums(config)
    ids, answers = known.ids[known.seen], known.answers[known.seen]
    optimiser = AdamW(module.train().parameters(), lr=config.lr, betas=(0.9, 0.98), weight_decay=config.decay)
    losses = []
    with working("modular addition", config.steps) as done:
        for step in range(config.steps):
            optimiser.param_groups[0]["lr"] = config.lr * min(1.0, (step + 1) / 10, 3 * (1 - step / config.steps))
            loss = cross_entropy(module(ids, use_cache=False, logits_to_keep=1).logits[:, 0], answers)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            done()
    module.eval().requires_grad_(False)
    return losses
