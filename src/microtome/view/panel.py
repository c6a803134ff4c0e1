"""What a panel is, and the registry of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microtome.core.registry import Registry

Data = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One section of a page: a function to checked JSON, and the JavaScript file that draws it.

    Attributes:
        title: its heading.
        order: panels stand on the page by this number.
        takes: which results `build` is called with, in order: `graph`, `proof`. A result that was not
            given comes as None; a panel none of whose results were given is left out.
        build: the function to JSON; it raises FormatError on what it cannot show.
        script: the JavaScript file, which calls `panel(NAME, (host, data, page) => …)`.
    """

    title: str
    order: int
    takes: tuple[str, ...]
    build: Callable[..., Data]
    script: Path


PANELS: Registry[Panel] = Registry("panel", folder="microtome.view.panels")
