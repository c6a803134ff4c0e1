"""Every character that a reader would not see gets a form that they do; everything else stays."""

import pytest

from microtome.view.tokens import plain, visible


@pytest.mark.parametrize(
    "token, shown",
    [
        (" Paris", "␣Paris"),
        ("\n\n", "⏎⏎"),
        ("\t\r", "⇥␍"),
        ("\x00\x1b", "␀␛"),
        ("\x7f", "⟨U+007F⟩"),
        ("\u202eevil", "⟨U+202E⟩evil"),
        ("a\u200bb", "a⟨U+200B⟩b"),
        ("\u00a0", "⟨U+00A0⟩"),
        ("\u2028", "⟨U+2028⟩"),
        ("שלום", "שלום"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("\ud83d\udc69", "👩"),
        ("\ud800x", "\ufffdx"),
        ("<script>&\"'", "<script>&\"'"),
        ("", ""),
    ],
)
def test_what_would_not_be_seen_is_shown(token, shown):
    assert visible(token) == shown


def test_a_sentence_keeps_its_spaces():
    assert plain("a b\nc\u202e") == "a b⏎c⟨U+202E⟩"


def test_whatever_comes_out_can_be_written_to_a_file():
    codes = [*range(0x3000), *range(0xD7F0, 0xE010), 0x1F600, 0xE0041, 0x10FFFF]
    shown = {code: visible(chr(code)) for code in codes}
    assert [hex(code) for code, text in shown.items() if text.encode("utf-8", "replace").decode() != text] == []
