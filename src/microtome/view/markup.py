"""Small HTML for notebooks. Every text is escaped here, so that no caller can forget to."""

from collections.abc import Iterable, Sequence
from html import escape


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts; columns after the first stand right, as numbers do."""
    top = "".join(f'<th style="text-align:{_side(at)}">{escape(text)}</th>' for at, text in enumerate(head))
    body = "".join(f"<tr>{''.join(_cell(text, at) for at, text in enumerate(row))}</tr>" for row in rows)
    return (
        f"<table><caption style='text-align:left'>{escape(caption)}</caption>"
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    )


def paragraph(text: str, *, strong: bool = False) -> str:
    """One line of text."""
    inner = f"<bdi>{escape(text)}</bdi>"
    return f"<p>{f'<strong>{inner}</strong>' if strong else inner}</p>"


def _cell(text: str, at: int) -> str:
    # bdi: a right-to-left token turns itself round and not its neighbours
    return f'<td style="text-align:{_side(at)}"><bdi>{escape(text)}</bdi></td>'


def _side(column: int) -> str:
    return "left" if column == 0 else "right"
