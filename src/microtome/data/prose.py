"""HTML to prose: the text of a page's blocks, without what frames them."""

from html.parser import HTMLParser

SILENT = {"script", "style", "head", "nav", "header", "footer", "aside", "svg", "button", "form"}
BLOCKS = {"p", "li", "dt", "dd", "pre", "td", "th", "tr", "div", "section", "article", "main", "blockquote", "br",
          *(f"h{n}" for n in range(1, 7))}  # fmt: skip
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
FRAMES = ("navheader", "navfooter", "sphinxsidebar", "related", "headerlink", "toctree", "sidebar")


def prose(page: str) -> str:
    """The text of an HTML page, a line a block; of its main part alone where it marks one.

    Code keeps its line breaks, all other space is one space.
    """
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return "\n".join(reader.main or reader.all)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.all: list[str] = []
        self.main: list[str] = []
        self._held: list[str] = []
        self._open: list[tuple[str, str]] = []  # tag and what it does: "", silent, main, code

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in BLOCKS:
            self._end_block()
        if tag not in VOID:
            self._open.append((tag, _role(tag, {name: value or "" for name, value in attrs})))

    def handle_endtag(self, tag: str) -> None:
        if tag in BLOCKS:
            self._end_block()
        if any(open_tag == tag for open_tag, _ in self._open):
            while self._open.pop()[0] != tag:  # what was left open inside ends with it
                pass

    def handle_data(self, data: str) -> None:
        self._held.append("" if self._inside("silent") else data)

    def close(self) -> None:
        super().close()
        self._end_block()

    def _inside(self, role: str) -> bool:
        return any(one == role for _, one in self._open)

    def _end_block(self) -> None:
        text = "".join(self._held)
        text = text.strip("\n") if self._inside("code") else " ".join(text.split())
        self._held.clear()
        if text.strip():
            self.all.append(text)
            if self._inside("main"):
                self.main.append(text)


def _role(tag: str, attributes: dict[str, str]) -> str:
    classes = attributes.get("class", "").split()
    if tag in SILENT or any(one in FRAMES for one in classes) or attributes.get("role") in ("navigation", "search"):
        return "silent"
    if tag == "main" or attributes.get("role") == "main":
        return "main"
    return "code" if tag == "pre" else ""
