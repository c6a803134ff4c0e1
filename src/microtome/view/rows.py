"""Free-form values as rows of a name in words and a text, shown as they are."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from microtome.view.fields import Fields
from microtome.view.tokens import plain


def rows_of(fields: Fields) -> list[tuple[str, str]]:
    """`{"n_nodes": 12, "model": {"name": "x"}}` becomes `n nodes: 12`, `model · name: x`."""
    return [(plain(name), plain(text)) for name, text in _walk(fields.row, "")]


def _walk(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _walk(value, f"{name} · ")
        else:
            yield name, _text(value)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if 1e-3 <= abs(value) < 1e6 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return json.dumps(value, ensure_ascii=False)
