"""Networks whose circuit is known, under one face: those compiled from programs, and those trained."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, runtime_checkable

from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from microtome.core.errors import UnknownName
from microtome.core.registry import Registry
from microtome.data.task import Task
from microtome.model.model import Model
from microtome.toy.algorithmic.trained import loaded
from microtome.toy.compiled.compiling import compiled
from microtome.toy.compiled.placing import CompileConfig
from microtome.toy.compiled.programs import PROGRAMS
from microtome.toy.compiled.truth import Truth, Wiring
from microtome.toy.interchange.held import HELD, held


@runtime_checkable
class Known(Protocol):
    """A network with its truth, and tasks that its circuit answers."""

    @property
    def module(self) -> GPT2LMHeadModel:
        """The network."""
        ...

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Of whole words."""
        ...

    @property
    def truth(self) -> Truth:
        """What each part does."""
        ...

    def open(self) -> Model:
        """The network as a model, without a certificate."""
        ...

    def pairs(self, n: int = 50, seed: int = 0) -> Task:
        """Inputs with counterfactuals of another answer."""
        ...

    def causal(self, task: Task) -> Wiring:
        """What of the truth can change an answer of a task."""
        ...


TRAINED: Registry[Callable[[], Known]] = Registry("trained-network")
TRAINED.add("induction-heads", loaded, summary="goes on with what comes a second time", home=__name__)
for _name in HELD:
    TRAINED.add(f"held-{_name}", partial(held, _name), summary=f"held to the program {_name}", home=__name__)


def known_names() -> tuple[str, ...]:
    """Programs, and trained networks."""
    return (*(entry.name for entry in PROGRAMS), *(entry.name for entry in TRAINED))


def known(name: str, seed: int = 0) -> Known:
    """A network by its name.

    Args:
        name: of a program, to compile it; or of a trained network.
        seed: where the parts of a compiled network stand; a trained one is the same whatever it is.

    Raises:
        UnknownName: there is none; the message lists the nearest.
    """
    if name in PROGRAMS:
        return compiled(name, CompileConfig(seed=seed))
    if name in TRAINED:
        return TRAINED.get(name)()
    raise UnknownName(
        "known network", name, known_names(),
        do="choose one that `microtome list program` or `microtome list trained-network` shows",
    )  # fmt: skip
