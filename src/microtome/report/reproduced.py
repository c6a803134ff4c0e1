"""Figures of papers made again: a picture and a record each, and one page that shows them all with the table of claims.

Each figure is written as soon as it is made, so that a run that was stopped goes on with the next.
"""

import base64
import os
import platform
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from microtome.core.artefact import RunCard, read_artefact, writable, write_json, written_whole
from microtome.core.need import need
from microtome.core.progress import working
from microtome.toy.reproduction import FIGURES, Figure, Row
from microtome.view.drawing import DRAWINGS

KIND, FORMAT, SEED = "figure", 1, 0
DPI = 140
PAGE = "index.html"
HEAD = ("figure", "claim", "paper", "here", "agrees?")


@dataclass(frozen=True)
class Made:
    """A figure that was made.

    Attributes:
        name: of the figure, and of its picture beside this record.
        title, source: what it shows, and the paper.
        rows: its claims.
        seconds: that making it took.
        shrunk: what is smaller than by the full settings, or than in the paper; a sentence.
        card: how it was made.
        work: seconds of processor time in that, which other work on the machine does not lengthen; 0 where an older
            record does not say.
        machine: on which.
    """

    name: str
    title: str
    source: str
    rows: tuple[Row, ...]
    seconds: float
    shrunk: str
    card: dict[str, Any]
    work: float = 0.0
    machine: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**vars(self), "rows": [row.to_dict() for row in self.rows]}


def reproduce(
    folder: str | Path, names: Sequence[str] | None = None, *, full: bool = False, processes: int = 1
) -> list[Made]:
    """Makes figures of toy models, or takes those that lie in the folder with the same settings.

    Writes `NAME.png` and `NAME.json` of each, then `index.html`, one page that needs nothing beside it, and `index.md`.

    Args:
        folder: where they go.
        names: which, in the registry's names; all by default.
        full: by the full settings, which take hours, and not by the quick ones.
        processes: that make figures beside one another, each on a core of its own; 1 makes them in this one.

    Raises:
        UnknownName: no figure has that name.
        MissingPackage: matplotlib is not installed.
        WrongUse: the folder cannot be written to.
    """
    folder = writable(Path(folder) / PAGE).parent
    need("matplotlib.figure", extra="figures")
    asked = [(name, FIGURES.get(name)) for name in names or [entry.name for entry in FIGURES]]
    found = {name: kept for name, figure in asked if (kept := _kept(folder, name, figure, full))}
    missing = [name for name, _ in asked if name not in found]
    with working("figures", len(asked)) as step:
        step(len(found))
        for one in _each(missing, partial(_made, folder, full), min(processes, len(missing))):
            found[one.name] = one
            step()
    made = [found[name] for name, _ in asked]
    for name, text in ((PAGE, as_html(folder, made)), ("index.md", as_markdown(made))):
        with written_whole(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return made


def _each(names: Sequence[str], make: Callable[[str], Made], processes: int) -> Iterator[Made]:
    """Each as it is made; where they are made in processes of their own, these end with this one."""
    if processes < 2:
        yield from map(make, names)
        return
    with get_context("spawn").Pool(processes, _alone) as pool:
        yield from pool.imap_unordered(make, names)


def _alone() -> None:
    """What a process of its own begins with: one thread, and Ctrl-C ends it without a word."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)


def _settings(figure: Figure[Any], full: bool) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value
            for name, value in (figure.full if full else figure.quick).to_dict().items()}  # fmt: skip


def _kept(folder: Path, name: str, figure: Figure[Any], full: bool) -> Made | None:
    """What an earlier run left, where it was made by these settings."""
    record = folder / f"{name}.json"
    if not (record.exists() and (folder / f"{name}.png").exists()):
        return None
    found = read_artefact(record, kind=KIND, format=FORMAT, keys=("rows", "seconds", "shrunk"))
    if found["card"]["config"] != _settings(figure, full):
        return None
    rows = tuple(Row(**row) for row in found["rows"])
    return Made(**{**found, "rows": rows, "shrunk": figure.shrunk(full=full)})


def _made(folder: Path, full: bool, name: str) -> Made:
    figure = FIGURES.get(name)
    start, busy = perf_counter(), process_time()
    found = figure.made(full=full)
    seconds, work = perf_counter() - start, process_time() - busy
    with written_whole(folder / f"{name}.png") as temporary:
        DRAWINGS.get(name)(found.data).savefig(temporary, dpi=DPI, format="png")
    card = RunCard(KIND, FORMAT, SEED, _settings(figure, full)).to_dict()
    shrunk = figure.shrunk(full=full)
    made = Made(name, figure.title, figure.source, found.rows, seconds, shrunk, card, work, machine())
    write_json(folder / f"{name}.json", made.to_dict())
    return made


def machine() -> str:
    """This one, and how many threads torch was given of it."""
    import torch

    threads = torch.get_num_threads()
    return f"{os.cpu_count()} cores ({platform.machine()}), torch on {threads} thread{'s' if threads > 1 else ''}"


def took(made: Sequence[Made]) -> str:
    """What all of them took, and where."""
    told = f"What they took adds up to {sum(one.seconds for one in made):,.0f} s by the clock"
    if all(one.work for one in made):
        told += f" and {sum(one.work for one in made):,.0f} s of the processor's time, some beside one another"
    machines = sorted({one.machine for one in made if one.machine})
    return f"{told}, on {' and '.join(machines)}." if machines else f"{told}."


def counted(made: Iterable[Made]) -> str:
    """How many of the claims agree, in words."""
    rows = [row for one in made for row in one.rows]
    return f"{sum(row.agrees for row in rows)} of {len(rows)} claims agree with what the papers found"


def _cells(made: Iterable[Made]) -> Iterator[tuple[str, str, str, str, str]]:
    for one in made:
        for row in one.rows:
            yield one.name, row.claim, row.paper, row.here, "yes" if row.agrees else "no"


def _about(one: Made) -> str:
    shrunk = f" {one.shrunk}" if one.shrunk else ""
    work = f" ({one.work:,.0f} s of the processor's time)" if one.work else ""
    return f"After {one.source}. Took {one.seconds:,.0f} s{work}.{shrunk}"


def as_markdown(made: Sequence[Made]) -> str:
    """The page for documentation, beside the pictures."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in _cells(made)]  # |x| would end a cell
    table = "\n".join(f"| {' | '.join(row)} |" for row in [HEAD, ("---",) * len(HEAD), *cells])
    parts = [f"## {one.title}\n\n![{one.title}]({one.name}.png)\n\n{_about(one)}\n" for one in made]
    return f"# Toy models of superposition\n\n{counted(made)}. {took(made)}\n\n{table}\n\n" + "\n".join(parts)


def as_html(folder: Path, made: Sequence[Made]) -> str:
    """The page for people: it holds the pictures, and asks for nothing from anywhere."""
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in _cells(made))
    parts = "".join(
        f"<section><h2>{escape(one.title)}</h2><img alt='{escape(one.title, quote=True)}' "
        f"src='data:image/png;base64,{base64.b64encode((folder / f'{one.name}.png').read_bytes()).decode()}'>"
        f"<p>{escape(_about(one))}</p></section>"
        for one in made
    )
    head = "".join(f"<th>{escape(name)}</th>" for name in HEAD)
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; img-src data:; "
        "style-src 'unsafe-inline'\"><title>Toy models of superposition</title><style>"
        "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}"
        "table{border-collapse:collapse;font-size:.9rem}td,th{border-top:1px solid #ccc;padding:.3rem .6rem;"
        "text-align:left;vertical-align:top}img{max-width:100%}</style></head><body>"
        f"<h1>Toy models of superposition</h1><p>{escape(counted(made))}. {escape(took(made))}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{parts}</body></html>\n"
    )
