"""Writes one HTML file that shows a graph and its proof and asks nothing of any network."""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any, Protocol, runtime_checkable

from microtome.core.artefact import written_whole
from microtome.core.errors import WrongUse
from microtome.view.page import Drawn, kind_of, page, shared_scripts, stylesheet
from microtome.view.tokens import plain

ASSETS = Path(__file__).parent / "assets"
LONGEST_PROMPT = 80  # characters of a title

# In JSON a `<` can only stand within a text, where its escape means the same. So no text can end the
# script element, open a comment in it, or be taken for markup.
ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


@runtime_checkable
class Result(Protocol):
    """A graph or a proof: whatever tells itself as plain values."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        ...


def report(
    *results: Result | dict[str, Any] | str | Path | None, path: str | Path | None = None, title: str | None = None
) -> Path:
    """Writes one page of results, whole or not at all.

    Args:
        *results: a graph, its proof, the proof of a task: one of each kind, or what its `to_dict()` gave; None is left
            out. Without a proof the page says at its head that nothing was tested. The last may be the path.
        path: the HTML file, always needed; one that is there is replaced.
        title: of the page; what was asked where none is given.

    Returns:
        The path written.

    Raises:
        FormatError: a result holds what no page can show; nothing is written.
        WrongUse: no `path`, or one that cannot be written; something else where results should stand.
    """
    if results and isinstance(results[-1], str | Path) and path is None:
        path = results[-1]
        results = results[:-1]
    if path is None:
        raise WrongUse("write a report", found="no path", do='name the file: path="report.html"')
    shown = [_plain(one) for one in results if one is not None]
    if not shown:
        raise WrongUse("write a report", found="no results", do="give a graph, a proof, or both")
    text = _assembled(page(*shown), title=_title(shown) if title is None else title)
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return Path(path)


def _plain(result: Any) -> dict[str, Any]:
    """The plain values of a result."""
    values = result.to_dict() if isinstance(result, Result) else result
    if not isinstance(values, dict):
        raise WrongUse(
            "write a report",
            found=f"a value of type {type(values).__name__} where a result should stand",
            do="call report(graph, proof, path)",
        )
    return values


def _title(results: list[dict[str, Any]]) -> str:
    """The prompt, its middle left out where it is long (the page shows every token), and what is explained."""
    graph = next((one for one in results if kind_of(one) == "graph"), None)
    if graph is None:
        return str(results[0]["card"]["data"].get("claim", kind_of(results[0])))
    prompt = graph["prompt"]
    if len(prompt) > LONGEST_PROMPT:
        half = LONGEST_PROMPT // 2
        prompt = f"{prompt[:half].rsplit(' ', 1)[0]} … {prompt[-half:].split(' ', 1)[-1]}"  # between words, if any
    against = " or ".join(repr(token) for token in graph["against"]) or "the mean logit"
    return f"{prompt}: {' or '.join(repr(token) for token in graph['target'])} over {against}"


def _assembled(panels: Sequence[Drawn], *, title: str) -> str:
    style = _joined([ASSETS / "page.css", stylesheet()])
    scripts = [*shared_scripts(), *(panel.script for panel in panels), ASSETS / "page.js"]
    script = f'"use strict";\n(() => {{\n{_joined(scripts)}\n}})();\n'
    return Template((ASSETS / "page.html").read_text(encoding="utf-8")).substitute(
        policy=_policy(script, style),
        title=html.escape(plain(title)),
        style=style,
        data=as_script_data({"panels": [panel.to_dict() for panel in panels]}),
        script=script,
    )


def _joined(files: Sequence[Path]) -> str:
    """Files one after the other, with line ends as the browser will hash them."""
    texts = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        if "</script" in text.lower() or "</style" in text.lower() or "<!--" in text:
            raise WrongUse(
                f"put {file.name} into a page",
                found="it holds </script, </style or <!--, which would end it early",
                do="split that text in the source",
            )
        texts.append(text)
    return "\n".join(texts)


def _policy(script: str, style: str) -> str:
    """Only this script and this style run; no request of any kind leaves the page."""
    rules = ("default-src 'none'", f"script-src {_hash(script)}", f"style-src {_hash(style)}")
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def as_script_data(value: Any) -> str:
    """Strict JSON in plain ASCII that can stand inside an HTML script element, whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.translate(ESCAPES)
