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
        takes: kinds of results that `build` is called with, in order, such as `graph` and `proof`. A panel is left
            out where the first of them was not given; others that were not given come as None. Of a panel that
            takes none by name, `build` is called with all results of the page, by their kinds.
        build: the function to JSON; it raises FormatError on what it cannot show.
        script: the JavaScript file, which calls `panel(NAME, (host, data, page) => …)`.
    """

    title: str
    order: int
    takes: tuple[str, ...]
    build: Callable[..., Data]
    script: Path


PANELS: Registry[Panel] = Registry("panel", folder="microtome.view.panels")
