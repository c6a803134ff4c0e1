"""Small HTML for notebooks. Every text is escaped here, so that no caller can forget to."""

from collections.abc import Collection, Iterable, Sequence
from html import escape


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, left: Collection[str] = ()) -> str:
    """A table of texts. The columns whose heads are in `left` stand left, as words do; the others right, as numbers."""
    styles = [f"text-align:{'left' if name in left else 'right'};padding:0.2em 0.8em" for name in head]
    top = "".join(f'<th style="{style}">{escape(name)}</th>' for name, style in zip(head, styles, strict=True))
    body = "".join(
        f"<tr>{''.join(_cell(text, style) for text, style in zip(row, styles, strict=True))}</tr>" for row in rows
    )
    return (
        '<table style="border-collapse:collapse">'
        f'<caption style="text-align:left;padding:0.2em 0.8em">{escape(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    )


def paragraph(text: str, *, strong: bool = False) -> str:
    """One line of text."""
    inner = f"<bdi>{escape(text)}</bdi>"
    return f"<p>{f'<strong>{inner}</strong>' if strong else inner}</p>"


def _cell(text: str, style: str) -> str:
    # bdi: a right-to-left token turns itself round and not its neighbours
    return f'<td style="{style}"><bdi>{escape(text)}</bdi></td>'
