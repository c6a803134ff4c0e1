"""Modular addition as it was learned: the network, the waves that it adds by, and tasks that ask for sums."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from jaxtyping import Int
from torch import Tensor
from transformers import GPT2LMHeadModel

from microtome.data.row import Row
from microtome.data.task import Task
from microtome.model import edits
from microtome.model.edits import Edit
from microtome.model.model import Model
from microtome.toy.algorithmic.fourier import within
from microtome.toy.algorithmic.modular import FIRST, ModularConfig, Sums, learn, network, sums
from microtome.toy.compiled.pairs import gathered
from microtome.toy.compiled.truth import Truth, Wiring
from microtome.toy.compiled.vocabulary import BOS_WORD, tokenizer_of
from microtome.toy.gpt2 import SmallNetwork
from microtome.toy.keeping import keep, kept

SHIPPED = Path(__file__).parent / "shipped" / "addition"
KIND = "trained modular addition"


@dataclass(frozen=True, eq=False)
class Addition(SmallNetwork):
    """A network that adds modulo a prime; its words are the numbers and `=`.

    Attributes:
        config: how it was made.
    """

    config: ModularConfig

    @property
    def sums(self) -> Sums:
        """All sums, and which of them it has seen."""
        return sums(self.config)

    @property
    def truth(self) -> Truth:
        """Its nodes: heads bring both numbers to `=`, the MLP multiplies their waves. Who reads whom is left out."""
        roles = {"embed": "waves of both numbers", "mlp.0": "waves of the sum", "logits": "the sum"}
        roles |= {f"head.0.{head}": "both numbers" for head in range(self.config.heads)}
        return Truth(Wiring(frozenset(roles), frozenset()), roles, frozenset(), frozenset(), nodes_only=True)

    def pairs(self, n: int = 50, seed: int = 0) -> Task:
        """Sums, each with one number changed.

        Raises:
            WrongUse: n is below 1, or there are fewer.
        """
        return gathered("modular addition", _candidates(self.config.modulus, Random(seed)), n, seed)

    def save(self, folder: str | Path, command: str | None = None) -> Path:
        """Writes weights and run card into a folder; `loaded` reads them."""
        return keep(self.module, folder, KIND, self.config, roles=self.truth.roles, command=command)


def trained(config: ModularConfig | None = None) -> Addition:
    """Trains modular addition: a few minutes of one core."""
    config = config or ModularConfig()
    module = network(config)
    learn(module, config)
    return _known(module, config)


def loaded(folder: str | Path = SHIPPED) -> Addition:
    """What was saved there; without a folder, what ships with microtome."""
    module, settings = kept(folder, KIND)
    return _known(module, ModularConfig.from_dict(settings))


def answered(model: Model, known: Sums, *made: Edit) -> Int[Tensor, " b"]:
    """The token with the largest logit after each sum."""
    return model.run(known.ids.tolist(), edits=list(made))["logits"][:, -1].argmax(-1)


def accuracy(model: Model, known: Sums, *made: Edit) -> float:
    """Share of all sums that are right."""
    return (answered(model, known, *made) == known.answers).float().mean().item()


def left_with(of: Addition, frequencies: Collection[int]) -> Edit:
    """Leaves the embeddings of both numbers their mean and the waves of these frequencies.

    An edit for `sums`, all of them: it lands on the rows as they stand there.
    """
    p, numbers = of.config.modulus, of.sums.ids[:, 1:3] - FIRST
    table = of.module.transformer.wte.weight[FIRST : FIRST + p]
    change = within(table, frequencies) - table
    return edits.add("embed", change[numbers], positions=[1, 2])


def _candidates(p: int, random: Random) -> Iterator[Row]:
    while True:
        clean = [random.randrange(p), random.randrange(p)]
        changed, place = list(clean), random.randrange(2)
        changed[place] = (clean[place] + random.randrange(1, p)) % p
        texts = [f"{a} {b} =" for a, b in (clean, changed)]
        yield Row(texts[0], texts[1], f" {sum(clean) % p}", f" {sum(changed) % p}")


def _known(module: GPT2LMHeadModel, config: ModularConfig) -> Addition:
    return Addition(module, tokenizer_of((BOS_WORD, *map(str, range(config.modulus)), "=")), config)
