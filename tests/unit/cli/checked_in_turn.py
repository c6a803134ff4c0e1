"""Runs `microtome check` on several packages, each in a folder of its own, in one process.

What a package registers stays registered; so this is no process of the tests, and no two entries share a name.
Arguments: folder and package, in turn. Standard output is a JSON list of exit code, output and errors.
"""

import contextlib
import importlib
import io
import json
import sys

import torch

from microtome.cli import main


def left_by(folder: str, package: str) -> dict[str, object]:
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(args=["check", package, *(["--json"] if package.startswith("good") else [])], prog_name="microtome")
        except SystemExit as left:
            code = int(left.code or 0)
    sys.path.remove(folder)
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = [left_by(*pair) for pair in zip(sys.argv[1::2], sys.argv[2::2], strict=True)]
    sys.stdout.write(json.dumps(found))
