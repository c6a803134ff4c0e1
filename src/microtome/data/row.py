"""A row: one prompt, the prompt that turns its answer round, and the two answers."""

from collections.abc import Iterator
from dataclasses import dataclass

from microtome.core.errors import WrongUse

Answer = str | tuple[str, ...]
"""The text of one token (" Paris"), or of several that count together by log-sum-exp."""


@dataclass(frozen=True)
class Row:
    """One prompt of a task.

    Attributes:
        clean: the prompt that is traced.
        counterfactual: the same prompt with one fact changed, so that `against` is right instead.
        target: what the model should say after `clean`; a leading space belongs to it (" Paris").
        against: what it should say after `counterfactual`.

    Raises:
        WrongUse: a text is empty or no Unicode text, the prompts are the same, or the answers overlap.
    """

    clean: str
    counterfactual: str
    target: Answer
    against: Answer

    def __post_init__(self) -> None:
        for name, text in self._texts():
            _check_text(name, text)
        if self.clean == self.counterfactual:
            raise WrongUse(
                "make a row of a task",
                found=f"'clean' and 'counterfactual' are both {shortened(self.clean)}",
                do="change the fact in 'counterfactual' that turns the answer round",
            )
        target = members(self.target)
        against = members(self.against)
        if not target or not against or len({*target, *against}) < len(target) + len(against):
            raise WrongUse(
                "make a row of a task",
                found=f"target {self.target!r} against {self.against!r}",
                do="give each at least one answer, and no answer twice",
            )

    def _texts(self) -> Iterator[tuple[str, str]]:
        yield "clean", self.clean
        yield "counterfactual", self.counterfactual
        yield from (("target", text) for text in members(self.target))
        yield from (("against", text) for text in members(self.against))

    def to_dict(self) -> dict[str, str | list[str]]:
        """Plain values, ready for JSON; a set of answers is a list."""
        return {
            "clean": self.clean,
            "counterfactual": self.counterfactual,
            "target": _plain(self.target),
            "against": _plain(self.against),
        }


def members(answer: Answer) -> tuple[str, ...]:
    """The token texts of an answer, one or several."""
    return (answer,) if isinstance(answer, str) else answer


def shortened(text: str, limit: int = 60) -> str:
    """A text as a message shows it: quoted, escaped, cut where it is long."""
    return repr(text if len(text) <= limit else text[:limit] + "…")


def _plain(answer: Answer) -> str | list[str]:
    return answer if isinstance(answer, str) else list(answer)


def _check_text(name: str, text: str) -> None:
    if not text:
        raise WrongUse("make a row of a task", found=f"{name!r} is empty", do=f"give {name!r} a text")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair: no tokenizer and no file takes it
        raise WrongUse(
            "make a row of a task",
            found=f"{name!r} is {shortened(text)}, which is no Unicode text (character {error.start})",
            do=f"replace the broken character in {name!r}",
        ) from None
