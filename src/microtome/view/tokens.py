"""Text that a person can see: blanks, line ends and control characters get a visible form.

Tokens hold anything: a lone newline, a right-to-left override that would reorder the page around it,
half of a character. All of it passes here, once, on its way to a page or a notebook.
"""

import unicodedata

BLANKS = {" ": "␣", "\n": "⏎", "\r": "␍", "\t": "⇥"}
# Delete and C1; joiners and direction marks; blanks other than the space; what has no glyph.
UNSEEN = ("Cc", "Cf", "Zs", "Zl", "Zp", "Co", "Cn")
EMOJI_JOINER = "\u200d"
CONTROL_PICTURES = 0x2400  # U+2400 ␀ stands for U+0000, and so on up to the space


def visible(token: str) -> str:
    """A token with its blanks shown: `" Paris"` becomes `␣Paris`, a newline `⏎`."""
    return "".join(BLANKS.get(char) or _shown(char) for char in _whole(token))


def plain(text: str) -> str:
    """A sentence: spaces stay spaces, everything else that would not be seen is shown."""
    return "".join(char if char == " " else BLANKS.get(char) or _shown(char) for char in _whole(text))


def _whole(text: str) -> str:
    """Joins surrogate pairs; a lone surrogate, which no file can hold, becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _shown(char: str) -> str:
    if ord(char) < 0x20:
        return chr(CONTROL_PICTURES + ord(char))
    if unicodedata.category(char) in UNSEEN and char != EMOJI_JOINER:
        return f"⟨U+{ord(char):04X}⟩"
    return char
