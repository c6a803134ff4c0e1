"""What was trained: the network, which of its heads do it, and tasks that ask for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import GPT2LMHeadModel

from microtome.data.row import Row
from microtome.data.task import Task
from microtome.model.edits import Edit
from microtome.model.model import Model
from microtome.toy.algorithmic.induction import InductionConfig, Rows, drawn, learn, network
from microtome.toy.compiled.pairs import gathered
from microtome.toy.compiled.truth import Truth, Wiring
from microtome.toy.compiled.vocabulary import BOS_WORD, tokenizer_of
from microtome.toy.gpt2 import SmallNetwork
from microtome.toy.keeping import keep, kept

SHIPPED = Path(__file__).parent / "shipped" / "induction"
KIND = "trained induction heads"
TESTED, SEED = 200, 1_000_000
"""Rows to test with, and their seed."""


@dataclass(frozen=True, eq=False)
class Trained(SmallNetwork):
    """Trained induction heads; the words are `w1`, `w2`, ….

    Attributes:
        config: how it was made.
        truth: the heads and who reads whom, as they are once it has learned; tests hold what ships to what
            happens when heads are removed. The other heads of layer 0 are in no list: they write what is not needed.
    """

    config: InductionConfig
    truth: Truth

    def rows(self, n: int = TESTED, seed: int = SEED) -> Rows:
        """Rows of the length that it was trained on, of a seed of their own."""
        return drawn(n, self.config.half, self.config.words, torch.Generator().manual_seed(seed))

    def pairs(self, n: int = 50, seed: int = 0) -> Task:
        """Rows cut where a word follows, and the same with that word another in the first half.

        Raises:
            WrongUse: n is below 1, or there are fewer.
        """
        return gathered("induction", _candidates(self.config, Random(seed)), n, seed)

    def causal(self, task: Task) -> Wiring:
        """What can change an answer of `pairs`: the induction head. Where it looks is the same in both."""
        nodes = {"embed", *(node for node in self.truth.roles if node.startswith("head.1")), "logits"}
        return Wiring(frozenset(nodes), frozenset())

    def save(self, folder: str | Path, command: str | None = None) -> Path:
        """Writes weights, config and run card into a folder; `loaded` reads them."""
        return keep(self.module, folder, KIND, self.config, roles=self.truth.roles, command=command)


def trained(config: InductionConfig | None = None) -> Trained:
    """Trains induction heads: a minute or two of one core.

    Its truth is that of heads that have learned: ask `accuracy` and `attention` before scoring methods against it.
    """
    config = config or InductionConfig()
    module = network(config)
    learn(module, config)
    return _known(module, config)


def loaded(folder: str | Path = SHIPPED) -> Trained:
    """What was saved there; without a folder, what ships with microtome."""
    module, settings = kept(folder, KIND)
    return _known(module, InductionConfig.from_dict(settings))


def attention(model: Model, rows: Rows) -> dict[str, Float[Tensor, "l h"]]:
    """Mean attention of each head: to the word before, and to what came after the same word.

    The first, `previous`, is taken from the words of the first half, of which one is found again; the second,
    `induction`, from where a word is asked for.
    """
    run = model.run(rows.ids.tolist(), ["attn.pattern.*"])
    patterns = torch.stack([run[f"attn.pattern.{layer}"] for layer in range(model.n_layers)])  # [l, b, h, p, p]
    row, at = rows.asked.nonzero(as_tuple=True)
    return {
        "previous": patterns.diagonal(-1, dim1=-2, dim2=-1)[..., : rows.ids.shape[1] // 2].mean((1, 3)),
        "induction": patterns[:, row, :, at, rows.came[row, at] + 1].mean(0),
    }


def accuracy(model: Model, rows: Rows, *edits: Edit) -> float:
    """Share of the words asked for that have the largest logit."""
    best = model.run(rows.ids.tolist(), edits=list(edits))["logits"].argmax(-1)
    return (best == rows.ids.roll(-1, 1))[rows.asked].float().mean().item()


def _candidates(config: InductionConfig, random: Random) -> Iterator[Row]:
    every = [f"w{one}" for one in range(1, config.words + 1)]
    while True:
        words = random.sample(every, config.half + 1)
        first, other = words[: config.half], words[config.half]
        start, place = sorted(random.sample(range(config.half), 2))  # `place` follows, and was not said again before
        again = first[start:place]
        clean, changed = [*first, *again], [*first[:place], other, *first[place + 1 :], *again]
        yield Row(" ".join(clean), " ".join(changed), f" {first[place]}", f" {other}")


def _known(module: GPT2LMHeadModel, config: InductionConfig) -> Trained:
    tokenizer = tokenizer_of((BOS_WORD, *(f"w{one}" for one in range(1, config.words + 1))))
    return Trained(module, tokenizer, config, _truth("head.0.0", "head.1.0", config.heads))


def _truth(previous: str, induction: str, heads: int) -> Truth:
    edges = {("embed", f"{previous}.{port}") for port in "qkv"}
    edges |= {("embed", f"{induction}.q"), ("embed", f"{induction}.v"), (previous, f"{induction}.k")}
    roles = {
        "embed": "words and positions", previous: "previous word", induction: "what came after the same word",
        "logits": "the next word",
    }  # fmt: skip
    idle = frozenset({"mlp.0", "mlp.1", *(f"head.1.{head}" for head in range(1, heads))})
    wiring = Wiring(frozenset(roles), frozenset({*edges, (induction, "logits")}))
    return Truth(wiring, roles, frozenset(), idle, nodes_only=True)
