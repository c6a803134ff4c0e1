"""How results show themselves in a notebook.

Results lie below the rooms that draw, and may not know them. So a result gives its kind and its plain values
here, and the package root, which knows every room, has said which function draws that kind.
"""

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any

_DRAWN_BY: dict[str, str] = {}


def drawn_by(functions: Mapping[str, str]) -> None:
    """Says which functions draw which kinds of result.

    Args:
        functions: of each kind (`graph`) the place of a function (`package.module:name`) from what `to_dict()`
            gives to HTML. Its module is imported when the first result of that kind is shown.
    """
    _DRAWN_BY.update(functions)


def html_of(kind: str, values: dict[str, Any]) -> str:
    """A result as HTML that stands alone: no script, no style sheet, nothing fetched.

    Raises:
        FormatError: the values are not those of a whole result.
    """
    return resolve_name(_DRAWN_BY[kind])(values)
