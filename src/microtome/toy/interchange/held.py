"""A network held to a program by interchanges: ordinary trained weights, and yet it is known which nodes do what."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from jaxtyping import Int
from torch import Tensor
from transformers import GPT2LMHeadModel

from microtome.core.errors import UnknownName
from microtome.data.row import Row
from microtome.data.task import Task
from microtome.model import edits
from microtome.model.edits import Edit
from microtome.model.model import Model
from microtome.toy.compiled.answers import expected, said
from microtome.toy.compiled.language import Program
from microtome.toy.compiled.pairs import gathered
from microtome.toy.compiled.parts import shown
from microtome.toy.compiled.truth import Truth, Wiring
from microtome.toy.compiled.vocabulary import tokenizer_of, words_of
from microtome.toy.gpt2 import SmallNetwork
from microtome.toy.interchange.alignment import Alignment
from microtome.toy.interchange.learning import InterchangeConfig, learn, network
from microtome.toy.interchange.rows import UNSAID, Interchanges, interchanges, twos
from microtome.toy.keeping import keep, kept

SHIPPED = Path(__file__).parent / "shipped"
KIND = "network held to a program"
HELD = ("induction", "reverse", "seen_before", "share_of_a", "two_back", "xor")
"""Programs that networks which ship are held to."""


@dataclass(frozen=True, eq=False)
class Held(SmallNetwork):
    """A trained network whose circuit is known.

    Attributes:
        config: how it was made.
        alignment: the program, and which node computes which of its values.
        words: of the vocabulary, by token id; the first is the BOS, which is also the answer "nothing".
    """

    config: InterchangeConfig
    alignment: Alignment
    words: tuple[str, ...]

    @property
    def truth(self) -> Truth:
        """Which nodes do what; who reads whom is not known."""
        return self.alignment.truth

    def expected(self, words: Iterable[str]) -> tuple[str, ...]:
        """What the program says at the BOS and at each word of an input.

        Raises:
            WrongUse: as for `interpreted`.
        """
        return expected(self.alignment.program, self.words, words)

    def said(self, model: Model, inputs: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
        """The word that the network says at each token of each input, by its largest logit."""
        return said(model, self.words, inputs)

    def causal(self, task: Task) -> Wiring:
        """The nodes that can change an answer of this task: see `Alignment.causal`.

        Raises:
            WrongUse: a row is no input of the program.
        """
        return self.alignment.causal(task)

    def pairs(self, n: int = 50, seed: int = 0) -> Task:
        """Two inputs of one length with different answers at the last word, so that every value may differ.

        Raises:
            WrongUse: n is below 1, or there are fewer.
        """
        return gathered(self.config.program, _candidates(self.alignment.program, Random(seed)), n, seed)

    def save(self, folder: str | Path, command: str | None = None) -> Path:
        """Writes weights and run card into a folder; `loaded` reads them."""
        return keep(self.module, folder, KIND, self.config, roles=self.truth.roles, command=command)


def trained(config: InterchangeConfig) -> Held:
    """Trains a network held to a program: a minute or two of one core.

    Its truth is the program's, however little it has learned: ask `agreement` before scoring methods against it.
    """
    words = words_of(config.alignment.program)
    module = network(config, words)
    learn(module, config, words)
    return _known(module, config)


def held(name: str) -> Held:
    """A network that ships with microtome, by the name of its program: one of `HELD`.

    Raises:
        UnknownName: none is called so; the message lists the nearest.
    """
    if name not in HELD:
        raise UnknownName("network held to a program", name, HELD, do="choose one of these")
    return loaded(SHIPPED / name)


def loaded(folder: str | Path) -> Held:
    """What `save` wrote into a folder.

    Raises:
        MissingFile, FormatError: there is no such card, or it is of something else.
    """
    module, settings = kept(folder, KIND)
    return _known(module, InterchangeConfig.from_dict(settings))


def agreement(of: Held, model: Model, n: int = 200, seed: int = 1_000_000) -> dict[str, float]:
    """How far the network is held, on inputs drawn anew: shares of inputs right at every word.

    Returns:
        `plain`, on inputs as they are; for each node of the program, with this node as on another input, against what
        the program says then; and `others`, with all other nodes as on another input, where nothing may change.
    """
    rows = interchanges(of.alignment, of.words, n, seed)
    found = {"plain": _right(model, rows, rows.plain)}
    for place, node in enumerate(of.alignment.at):
        mine = rows.at((rows.node == place).nonzero()[:, 0])
        found[node] = _right(model, mine, mine.changed, node)
    return found | {"others": _right(model, rows, rows.plain, *of.alignment.others)}


def _candidates(program: Program, random: Random) -> Iterator[Row | None]:
    """Rows, and None where two inputs have the same answer, or one has none."""
    for (clean, here), (other, there) in twos(program, random):
        target, against = here[program.output][-1], there[program.output][-1]
        if target is None or against is None or target == against:
            yield None
        else:
            yield Row(" ".join(clean), " ".join(other), f" {shown(target)}", f" {shown(against)}")


def _right(model: Model, rows: Interchanges, wanted: Int[Tensor, "b p"], *nodes: str) -> float:
    lengths = (rows.plain != UNSAID).sum(1).tolist()
    base, source = (
        [row[:length] for row, length in zip(ids.tolist(), lengths, strict=True)] for ids in (rows.base, rows.source)
    )
    made = [_taken(node, source) for node in nodes]
    best = model.run(base, edits=made)["logits"].argmax(-1)
    longest = best.shape[1]
    return ((best == wanted[:, :longest]) | (wanted[:, :longest] == UNSAID)).all(1).float().mean().item()


def _taken(node: str, source: list[list[int]]) -> Edit:
    """A node as on other inputs."""
    kind, layer, *head = node.split(".")
    site, units = (f"attn.heads.{layer}", int(head[0])) if kind == "head" else (f"mlp.out.{layer}", None)
    return edits.ablate(site, to="counterfactual", source=source, units=units, may_be_empty=True)


def _known(module: GPT2LMHeadModel, config: InterchangeConfig) -> Held:
    of = config.alignment
    words = words_of(of.program)
    return Held(module, tokenizer_of(words), config, of, words)
