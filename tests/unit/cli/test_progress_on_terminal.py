"""Progress is for a person who waits: on a terminal, after a second, and gone when the work is done."""

import json
import os
import pty
import subprocess
import sys

from at_a_terminal import sent_to

SLOW = """
import time
from microtome.cli.progress import progress_on_stderr
from microtome.core.progress import track
with progress_on_stderr():
    for _ in track(range({steps}), "slicing"):
        time.sleep({seconds})
print("done")
"""


def on_terminal(code: str) -> tuple[str, str]:
    """Standard output, and what a terminal on standard error was sent."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        sent = ""
        while chunk := sent_to(ours):
            sent += chunk
        out = process.stdout.read()
    os.close(ours)
    return out, sent


def test_long_work_is_shown_and_goes_away():
    out, sent = on_terminal(SLOW.format(steps=8, seconds=0.25))
    assert out == "done\n"
    assert "slicing" in sent
    assert "/8" in sent
    assert sent.rfind("\x1b[2K") > sent.rfind("slicing")  # the line was erased at the end


def test_quick_work_is_not_shown():
    _, sent = on_terminal(SLOW.format(steps=3, seconds=0.01))
    assert "slicing" not in sent


def test_without_a_terminal_nothing_is_shown():
    code = SLOW.format(steps=5, seconds=0.25)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")


LONG_LINE = "x" * 300
BETWEEN = f"""
import time
from microtome.cli.progress import progress_on_stderr
from microtome.core.progress import working
with progress_on_stderr():
    for part in range(2):
        with working("slicing"):
            time.sleep(1.5)
        print("{LONG_LINE}", part)
"""


def test_what_is_printed_between_pieces_of_work_reaches_standard_output_as_it_is():
    out, sent = on_terminal(BETWEEN)
    assert out == f"{LONG_LINE} 0\n{LONG_LINE} 1\n"
    assert sent.count("\x1b[?25l") == sent.count("\x1b[?25h") == 2  # shown twice, and taken away twice
    assert LONG_LINE[:40] not in sent


def test_json_can_be_sent_to_a_file_from_a_terminal():
    out, sent = on_terminal("from microtome.cli import main; main(['list', 'task', '--json'])")
    assert json.loads(out)["task"]
    assert "capitals" not in sent
