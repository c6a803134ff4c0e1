"""The installed command, and what a terminal shows that a process writes to."""

import os
import sys
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("microtome"))


def sent_to(terminal: int) -> str:
    """The next that was written to it; nothing once the other end is closed."""
    try:
        return os.read(terminal, 4096).decode(errors="replace")
    except OSError:  # how Linux says that the other end is closed
        return ""
