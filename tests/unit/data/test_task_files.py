"""Rows come back from a file as they went in, and every fault names its line and key."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtome.core.errors import FormatError, NotFound
from microtome.data.row import Row
from microtome.data.rowsfile import read_rows, write_rows

GOOD = {"clean": "a", "counterfactual": "b", "target": " x", "against": [" y", " z"]}

HOSTILE = [
    'she said "no" and \\"left\\"',
    "two\nlines\r\nand\ttabs",
    "line\u2028separator \u0085 next \u000b line \x1c record",
    "\u202eright to left\u202c עברית العربية",
    "</script><script>alert(1)</script>",
    "\x00 null, \x1b[31m red",
    "emoji 👩‍👩‍👧 and combining e\u0301",
    "{'clean': \"}{\"}",
    "long " * 200_000,
]

texts = st.text(min_size=1, max_size=30)
answers = st.one_of(texts, st.lists(texts, min_size=1, max_size=4, unique=True).map(tuple))


def answers_differ(row):
    """Written without calls into the package, whose checked annotations draw at random."""
    target, against = ({answer} if isinstance(answer, str) else {*answer} for answer in row[2:])
    return row[0] != row[1] and not target & against


fields = st.tuples(texts, texts, answers, answers).filter(answers_differ)


def written(path, *lines):
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
    return path


@given(st.lists(fields, min_size=1, max_size=5, unique=True))
def test_any_rows_come_back_as_they_went_in(tmp_path_factory, some):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    rows = tuple(Row(*row) for row in some)
    write_rows(path, rows)
    assert read_rows(path) == rows


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
def test_hostile_text_comes_back_as_it_went_in(tmp_path, text):
    hostile = [Row(text, f"{text}!", (text, "?"), f"{text}."), Row("a", text, "b", "c")]
    write_rows(tmp_path / "rows.jsonl", hostile)
    assert read_rows(tmp_path / "rows.jsonl") == tuple(hostile)
    assert (tmp_path / "rows.jsonl").read_bytes().count(b"\n") == 2


def test_empty_lines_windows_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path):
    other = json.dumps({**GOOD, "clean": "c"})
    path = written(tmp_path / "r.jsonl", b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r", "", " ", other)
    assert [row.clean for row in read_rows(path)] == ["a", "c"]


WRITE_AS = 'write the row as {"clean": "…", "counterfactual": "…", "target": "…", "against": "…"}'
REPEATED = "remove it; a row that counts twice makes intervals too narrow"


@pytest.mark.parametrize(
    "line, found, do",
    [
        ('{"clean": ', "no JSON (Expecting value: line 1 column 11 (char 10))", WRITE_AS),
        ('["clean"]', "a JSON list, no object", WRITE_AS),
        (
            '{"clean": "a", "counterfactual": "b"}',
            "no key 'target', 'against'",
            WRITE_AS,
        ),
        (
            json.dumps({**GOOD, "counterfactal": "b"}),
            "the key 'counterfactal'; the closest are 'counterfactual'",
            "rename or remove the key",
        ),
        (json.dumps({**GOOD, "clean": 7}), "'clean' is of type int", "make 'clean' a text in quotes"),
        (
            json.dumps({**GOOD, "counterfactual": None}),
            "'counterfactual' is of type NoneType",
            "make 'counterfactual' a text in quotes",
        ),
        (
            json.dumps({**GOOD, "target": {"a": 1}}),
            "'target' is of type dict",
            "make 'target' a text in quotes, or a list of such",
        ),
        (
            json.dumps({**GOOD, "against": [" y", 3]}),
            "'against' is of type list and holds what is no text",
            "make 'against' a text in quotes, or a list of such",
        ),
        (
            json.dumps({**GOOD, "against": " x"}),
            "target ' x' against ' x'",
            "give each at least one answer, and no answer twice",
        ),
        (
            json.dumps({**GOOD, "clean": "\ud800"}),
            "'clean' is '\\ud800', which is no Unicode text (character 0)",
            "replace the broken character in 'clean'",
        ),
        (b'{"clean": "\xff"}', "byte 12 of the line is no UTF-8", "save the file as UTF-8"),
        (
            json.dumps(GOOD),
            "the same row as in line 1",
            "remove it; a row that counts twice makes intervals too narrow",
        ),
    ],
)
def test_a_fault_names_its_line_and_key(tmp_path, line, found, do):
    path = written(tmp_path / "rows.jsonl", json.dumps(GOOD), "", line)
    with pytest.raises(FormatError) as caught:
        read_rows(path)
    assert str(caught.value) == f"read a row at {path}:3\n  found: {found}\n  do:    {do}"


def test_nesting_without_end_is_a_fault_like_another(tmp_path):
    path = written(tmp_path / "deep.jsonl", '{"clean": ' + "[" * 200_000)
    with pytest.raises(FormatError, match=r"deep\.jsonl:1\n  found: no JSON"):
        read_rows(path)


@pytest.mark.parametrize("content", ["", "\n \n\n"])
def test_a_file_without_rows_is_refused(tmp_path, content):
    path = written(tmp_path / "empty.jsonl", content)
    with pytest.raises(FormatError) as caught:
        read_rows(path)
    assert str(caught.value) == (
        f"read rows from {path}\n  found: no row\n"
        '  do:    write one a line: {"clean": "…", "counterfactual": "…", "target": "…", "against": "…"}'
    )


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(NotFound) as caught:
        read_rows(tmp_path / "no.jsonl")
    assert (
        str(caught.value) == f"read rows from {tmp_path / 'no.jsonl'}\n  found: no such file\n  do:    check the path"
    )
    with pytest.raises(FormatError) as folder:
        read_rows(tmp_path)
    assert (
        str(folder.value)
        == f"read rows from {tmp_path}\n  found: Is a directory\n  do:    give a file that can be read"
    )


class Interrupted(Sequence):
    """Rows whose reading is stopped by Ctrl-C after the first."""

    def __len__(self):
        return 2

    def __getitem__(self, place):
        if place:
            raise KeyboardInterrupt
        return Row("a", "b", "x", "y")


def test_ctrl_c_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_rows(path, [Row("old", "b", "x", "y")])
    with pytest.raises(KeyboardInterrupt):
        write_rows(path, Interrupted())
    assert read_rows(path)[0].clean == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


KILLED_AT_1000_BYTES = """
import resource, signal, sys
from pathlib import Path
from microtome.data.row import Row
from microtome.data.rowsfile import write_rows
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
signal.signal(signal.SIGXFSZ, signal.{action})
write_rows(Path(sys.argv[1]), [Row(f"new {{i}}", "b", "x", "y") for i in range(5000)])
"""


@pytest.mark.parametrize("action, beside", [("SIG_DFL", 1), ("SIG_IGN", 0)], ids=["killed", "disk full"])
def test_a_write_that_stops_half_way_leaves_the_old_file(tmp_path, action, beside):
    """The kernel stops the writer at 1,000 bytes: with a deadly signal, or with an error that it can tidy after."""
    path = tmp_path / "rows.jsonl"
    write_rows(path, [Row("old", "b", "x", "y")])
    writer = subprocess.run(
        [sys.executable, "-c", KILLED_AT_1000_BYTES.format(action=action), str(path)], capture_output=True, check=False
    )
    assert writer.returncode == (-signal.SIGXFSZ if action == "SIG_DFL" else 1)
    assert read_rows(path)[0].clean == "old"
    assert len(list(tmp_path.iterdir())) == 1 + beside


def test_no_byte_brings_the_reader_down_with_an_error_of_another_kind(tmp_path):
    line = json.dumps(GOOD).encode()
    outcomes = {"read": 0, "refused": 0}
    for place in range(len(line)):
        for byte in (b"\x00", b'"', b"\xff", b"\n", b"}"):
            path = written(tmp_path / "rows.jsonl", line[:place] + byte + line[place + 1 :])
            try:
                read_rows(path)
                outcomes["read"] += 1
            except FormatError:
                outcomes["refused"] += 1
    assert outcomes["refused"] > outcomes["read"] > 0
