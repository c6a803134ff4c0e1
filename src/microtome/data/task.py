"""A task: prompts with counterfactuals and answers, from a generator with a seed or from a file."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from random import Random

from microtome.core import fingerprint
from microtome.core.counting import counted
from microtome.core.errors import UnknownName, WrongUse
from microtome.data.fitting import Tokens, counts_in_words, misfit
from microtome.data.generator import TASKS, Generator, shuffled
from microtome.data.row import Answer, Row, shortened
from microtome.data.rowsfile import read_rows, write_rows

__all__ = ["TASKS", "Answer", "Row", "Task", "Tokens", "fitting", "task"]

DEFAULT_N = 50
PATIENCE = 2000  # candidates that do not fit, in a row, before a tokenizer is given up


@dataclass(frozen=True, repr=False)
class Task:
    """Rows that ask a model for one behaviour.

    Attributes:
        name: of the generator, or of the file without its ending.
        rows: at least one, all different.
        source: the module or the file that the rows came from, and what was done to them since.
        seed: that they were drawn with; None where a file gave all its rows.
        version: of the generator's recipe; 0 for a file.

    Raises:
        WrongUse: there is no row, or one stands twice.
    """

    name: str
    rows: tuple[Row, ...]
    source: str
    seed: int | None
    version: int

    def __post_init__(self) -> None:
        if not self.rows:
            raise WrongUse(f"make the task {self.name!r}", found="no row", do="give it at least one row")
        row, count = Counter(self.rows).most_common(1)[0]
        if count > 1:
            raise WrongUse(
                f"make the task {self.name!r}",
                found=f"{count} times the row {shortened(row.clean)}",
                do="remove the repetitions; a row that counts twice makes intervals too narrow",
            )

    def __repr__(self) -> str:
        drawn = "" if self.seed is None else f", seed {self.seed}"
        first = shortened(self.rows[0].clean)
        return f"Task({self.name!r}: {counted(len(self), 'row')}{drawn}, from {self.source}; first {first})"

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def fingerprint(self) -> str:
        """Digest of the rows in their order: tasks with the same rows are the same task."""
        return fingerprint.of_value([row.to_dict() for row in self.rows])

    def where(self, keep: Sequence[bool]) -> "Task":
        """The task of those rows for which `keep`, one value a row, is true.

        Raises:
            WrongUse: the lengths differ, or no row is kept.
        """
        if len(keep) != len(self.rows) or not any(keep):
            raise WrongUse(
                f"keep some rows of the task {self.name!r}",
                found=f"{len(keep)} values, {sum(map(bool, keep))} of them true, for {len(self.rows)} rows",
                do="give one value for each row, at least one of them true",
            )
        return replace(self, rows=tuple(compress(self.rows, keep)))

    def halves(self, seed: int = 0) -> tuple["Task", "Task"]:
        """Two tasks that share no row: choose on the first, report on the second.

        The split depends on the seed and on the number of rows alone. Each half keeps the order;
        of an odd number the first half has one more.

        Raises:
            WrongUse: there are fewer than two rows.
        """
        if len(self.rows) < 2:
            raise WrongUse(f"halve the task {self.name!r}", found="a single row", do="give it two rows or more")
        size = len(self.rows)
        first = set(list(shuffled(Random(seed), size))[: (size + 1) // 2])
        in_first = [place in first for place in range(size)]
        halves = self.where(in_first), self.where([not inside for inside in in_first])
        a, b = (
            replace(half, source=f"{self.source}, half {letter} of seed {seed}")
            for letter, half in zip("ab", halves, strict=True)
        )
        return a, b

    def to_jsonl(self, path: str | Path) -> Path:
        """Writes the rows, one JSON object a line, whole or not at all; `task(path)` reads them back."""
        write_rows(Path(path), self.rows)
        return Path(path)


def task(name_or_path: str | Path, n: int | None = None, seed: int = 0, tokens: Tokens | None = None) -> Task:
    """The task of a generator's name or of a `.jsonl` file.

    Args:
        name_or_path: a name that `microtome list task` shows, or the path of a file that ends in
            `.jsonl` with `{"clean", "counterfactual", "target", "against"}` a line; `target` and
            `against` are the text of a token, or a list of such.
        n: how many rows; 50 from a generator and all of a file unless told.
        seed: of the rows drawn. With one seed, a larger task begins with the rows of a smaller.
        tokens: token ids of a text, without special tokens. If given, only rows that this
            tokenizer can hold are drawn (see `fitting`), until there are `n`.

    Raises:
        UnknownName: no generator is called so; the message lists the nearest.
        NotFound, FormatError: the file is missing or malformed, at a named line and key.
        WrongUse: there are fewer than `n` rows; the message says how many.
    """
    if n is not None and n < 1:
        raise WrongUse(f"make the task {str(name_or_path)!r}", found=f"n={n}", do="ask for n=1 or more")
    if Path(name_or_path).suffix == ".jsonl":
        return _from_file(Path(name_or_path), n, seed, tokens)
    return _from_generator(str(name_or_path), DEFAULT_N if n is None else n, seed, tokens)


def fitting(task: Task, tokens: Tokens) -> tuple[Task, dict[str, int]]:
    """The rows that a tokenizer can hold, and how many were dropped for which reason.

    A row fits if its two prompts have the same number of tokens (and are not the same tokens), each
    answer is one token, target and against share none, and no answer merges with a prompt's end.

    Args:
        task: any task.
        tokens: token ids of a text, **without** special tokens.

    Raises:
        WrongUse: no row fits; the message counts the reasons.
    """
    reasons = [misfit(row, tokens) for row in task.rows]
    dropped = Counter(reason for reason in reasons if reason is not None)
    if all(reasons):
        raise WrongUse(
            f"fit the task {task.name!r} to a tokenizer",
            found=f"none of its {len(task)} rows fits ({counts_in_words(dropped)})",
            do="write rows for this tokenizer: prompts of equal length, answers of one token",
        )
    return task.where([reason is None for reason in reasons]), dict(dropped.most_common())


def _from_file(path: Path, n: int | None, seed: int, tokens: Tokens | None) -> Task:
    rows = read_rows(path)
    whole = Task(path.stem, rows, source=str(path), seed=None, version=0)
    if tokens is not None:
        whole, dropped = fitting(whole, tokens)
        whole = replace(whole, source=f"{path}, {sum(dropped.values())} of {len(rows)} rows did not fit")
    if n is None:
        return whole
    if n > len(whole):
        raise WrongUse(
            f"draw {n} rows from {path}",
            found=f"{len(whole)} rows" + (f" that fit, of {len(rows)}" if tokens else ""),
            do=f"ask for n={len(whole)} or fewer",
        )
    places = list(shuffled(Random(seed), len(whole)))[:n]
    return replace(whole, rows=tuple(whole.rows[place] for place in places), seed=seed)


def _from_generator(name: str, n: int, seed: int, tokens: Tokens | None) -> Task:
    entry = _entry(name)
    if tokens is None:
        rows = entry(n, seed)
        source = entry.home
        if len(rows) < n:
            raise _too_few(name, n, len(rows), found=f"it can make {len(rows)} distinct rows")
    else:
        rows, dropped = _first_fitting(entry, n, seed, tokens)
        drawn = len(rows) + dropped.total()
        source = f"{entry.home}, {dropped.total()} of {drawn} rows drawn did not fit"
        if len(rows) < n:
            found = f"{len(rows)} of the {drawn} rows drawn fit the tokenizer ({counts_in_words(dropped)})"
            raise _too_few(name, n, len(rows), found=found)
    return Task(name, rows, source=source, seed=seed, version=entry.version)


def _first_fitting(entry: Generator, n: int, seed: int, tokens: Tokens) -> tuple[tuple[Row, ...], Counter[str]]:
    rows: list[Row] = []
    dropped: Counter[str] = Counter()
    misses = 0
    for row in entry.candidates(seed):
        reason = misfit(row, tokens)
        if reason is None:
            rows.append(row)
            misses = 0
        else:
            dropped[reason] += 1
            misses += 1
        if len(rows) == n or misses == PATIENCE:
            break
    return tuple(rows), dropped


def _entry(name: str) -> Generator:
    if name not in TASKS:
        raise UnknownName(
            "task",
            name,
            [entry.name for entry in TASKS],
            do="choose one that `microtome list task` shows, or give a path that ends in .jsonl",
        )
    return TASKS.get(name)


def _too_few(name: str, n: int, most: int, *, found: str) -> WrongUse:
    cure = f"ask for n={most} or fewer" if most else "choose another task, or write rows for this tokenizer"
    return WrongUse(f"make {n} rows of the task {name!r}", found=found, do=cure)
