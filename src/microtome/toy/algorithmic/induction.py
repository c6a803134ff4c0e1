"""Induction heads: two layers of attention that learn to go on with what is said a second time.

A row is a BOS, different words, and the same words once more in the same circle, but begun at another one, so that no
fixed distance leads to the next. The loss counts in the second half alone, where the word follows from the first: look
for the last word in the first half, and say what came after it.

Left alone, such networks need thousands of steps, and share the work among heads as it happens. Two things are done
here, and nothing else. Over the first steps `head.0.0` is shown the word before: its attention there is part of the
loss. And at the end the heads of layer 1 but its first are emptied, since they learn the same as that one. What
layer 1 looks for, what is copied, and whether `head.0.0` goes on looking back, is learned from the words alone.
"""

from dataclasses import dataclass
from math import log

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import AdamW
from transformers import GPT2Config, GPT2LMHeadModel

from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.toy.gpt2 import blocks

NO_PLACE = -1
POSITIONS = 64


@dataclass(frozen=True)
class InductionConfig(Config):
    """The network, its rows and how it learns.

    Attributes:
        words: to draw from; a BOS comes on top.
        half: words of the first half, all different.
        width: of the residual stream.
        heads: a layer.
        steps: of AdamW.
        rows: a step.
        lr: at its highest; it falls to zero over the last third.
        shown: steps over which `head.0.0` is shown the word before.
        seed: of weights and rows.

    Raises:
        WrongUse: halves that the words or the positions cannot fill.
    """

    words: int = 32
    half: int = 12
    width: int = 64
    heads: int = 2
    steps: int = 400
    rows: int = 64
    lr: float = 5e-3
    shown: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if not 3 <= self.half <= min(self.words, (POSITIONS - 1) // 2):
            raise WrongUse(
                "train induction heads", found=f"halves of {self.half} words, of {self.words} different ones",
                do=f"give 3 words a half or more, and no more than words or {(POSITIONS - 1) // 2}",
            )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows to learn from or to test with.

    Attributes:
        ids: the BOS is 0.
        came: where the word of a position came before, or `NO_PLACE`.
        asked: whether the word after a position follows from what came after this place.
    """

    ids: Int[Tensor, "b p"]
    came: Int[Tensor, "b p"]
    asked: Bool[Tensor, "b p"]


def drawn(n: int, half: int, words: int, random: torch.Generator) -> Rows:
    """So many rows with halves of this many words."""
    first = torch.rand(n, words, generator=random).argsort(1)[:, :half] + 1
    turned = (torch.arange(half) + torch.randint(0, half, (n, 1), generator=random)) % half
    ids = torch.cat([torch.zeros(n, 1, dtype=torch.long), first, first.gather(1, turned)], 1)
    came = torch.cat([torch.full((n, 1 + half), NO_PLACE), turned + 1], 1)
    asked = (came != NO_PLACE) & (came != half)  # what came after the last of the first half is no guide
    asked[:, -1] = False
    return Rows(ids, came, asked)


def network(config: InductionConfig) -> GPT2LMHeadModel:
    """A GPT-2 whose MLPs write nothing, drawn from the seed; positions begin as waves, as in the first transformer."""
    shape = GPT2Config(
        vocab_size=config.words + 1, n_positions=POSITIONS, n_embd=config.width, n_layer=2, n_head=config.heads,
        n_inner=1, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
        initializer_range=0.1,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        module = GPT2LMHeadModel(shape)
    module.set_attn_implementation("eager")  # the one that tells where heads look
    at = torch.arange(POSITIONS)[:, None] * torch.linspace(log(1.5), log(0.05), config.width // 2).exp()
    with torch.no_grad():
        module.transformer.wpe.weight.copy_(0.2 * torch.cat([at.sin(), at.cos()], 1))
        for block in blocks(module):
            block.mlp.c_proj.weight.zero_()
            block.mlp.requires_grad_(False)
    return module


def learn(module: GPT2LMHeadModel, config: InductionConfig) -> list[float]:
    """Trains it in place; returns the loss of each step, without what was shown."""
    random = torch.Generator().manual_seed(config.seed)
    weights = [one for one in module.train().parameters() if one.requires_grad]
    optimiser = AdamW(weights, lr=config.lr, betas=(0.9, 0.98), weight_decay=0.01)
    losses = []
    for step in range(config.steps):
        optimiser.param_groups[0]["lr"] = config.lr * min(1.0, (step + 1) / 30, 3 * (1 - step / config.steps))
        rows = drawn(config.rows, config.half, config.words, random)
        out = module(rows.ids, use_cache=False, output_attentions=True)
        loss = cross_entropy(out.logits[rows.asked], rows.ids.roll(-1, 1)[rows.asked])
        losses.append(loss.item())
        if step < config.shown:
            loss = loss - out.attentions[0][:, 0].diagonal(-1, dim1=-2, dim2=-1).log().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
    module.eval().requires_grad_(False)
    blocks(module)[1].attn.c_proj.weight[config.width // config.heads :] = 0.0
    return losses
