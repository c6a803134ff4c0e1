"""A package of somebody else's with an entry of several kinds, made in a folder and importable from there.

It is installed as pip leaves it: modules, and a `.dist-info` folder with the entry points; no pip is needed.
"""

from pathlib import Path

POINTS = {"architecture": "halves", "metric": "largest", "format": "numpy_file", "panel": "summary", "basis": "early"}

ARCHITECTURE = '''
"""TopK by another name: every strongest activation is kept."""
from dataclasses import dataclass
from typing import ClassVar

from microtome.dictionary.architecture import ARCHITECTURES, Active
from microtome.dictionary.architectures.topk import TopK


@ARCHITECTURES.register("halves", summary="the strongest, by another name")
@dataclass(frozen=True)
class Halves(TopK):
    """The k strongest units of each token."""

    name: ClassVar[str] = "halves"

    @classmethod
    def tiny(cls):
        return cls(k=6)
'''
METRIC = '''
"""A metric of reconstructions."""
import torch

from microtome.metrics.metric import metric
from microtome.metrics.reconstruction import OfReconstruction


@metric(summary="largest error in a coordinate")
class Largest(OfReconstruction):
    """Mean over tokens of the largest error in any coordinate.

    Unit: activation. Range: [0, inf). Lower is better.

    When it misleads: one coordinate may own it.
    """

    name, unit, better, best = "largest_error", "activation", "lower", 0.0

    def _parts(self, x, x_hat):
        return (x - x_hat).abs().amax(1), torch.ones(len(x), dtype=x.dtype)
'''
FORMAT = '''
"""A dictionary's own folder, in one more folder."""
from microtome.core.errors import MissingFile
from microtome.dictionary.format import FORMATS, Format
from microtome.dictionary.saving import load, save


@FORMATS.register("boxed", summary="a folder in a folder")
class Boxed(Format):
    """Reads and writes it."""

    writes = True

    def recognises(self, path):
        return (path / "box").is_dir()

    def read(self, path, sites):
        return load(path / "box")

    def write(self, dictionary, path):
        return save(dictionary, path / "box").parent
'''
PANEL = '''
"""A panel that counts nodes."""
from pathlib import Path

from microtome.core.errors import FormatError
from microtome.view.panel import PANELS, Panel


def build(graph):
    if graph is None or "nodes" not in graph:
        raise FormatError("count nodes", found="no nodes", do="give a graph")
    return {"nodes": len(graph["nodes"])}


SCRIPT = Path(__file__).with_suffix(".js")
PANELS.add("node-count", Panel("Nodes", 95, ("graph",), build, SCRIPT), summary="their number", home=__name__)
'''
BASIS = '''
"""The neurons, by another name."""
from microtome.circuit.bases.neurons import Neurons
from microtome.circuit.basis import BASES, Basis

EARLY = Basis("early-neurons", {}, (Neurons([0, 1]),))
BASES.add("early-neurons", EARLY, summary="neurons of two layers", home=__name__)
'''
MODULES = {"halves": ARCHITECTURE, "largest": METRIC, "numpy_file": FORMAT, "summary": PANEL, "early": BASIS}


NAMES = ("halves", "largest_error", "boxed", "node-count", "early-neurons")


def installed(folder: Path, package: str, only: str | None = None, change: tuple[str, str] = ("", "")) -> Path:
    """Writes a package with an entry of each kind, or of one alone, with something in its module changed.

    Entries have the package's number in their names: `broken-3` has `halves3`.
    """
    home = folder / package.replace("-", "_")
    home.mkdir(parents=True)
    (home / "__init__.py").write_text("")
    points = {kind: name for kind, name in POINTS.items() if only in (None, kind)}
    number = package.rpartition("-")[2]
    for name in points.values():
        before, after = change
        assert before in MODULES[name]
        module = MODULES[name].replace(before, after) if before else MODULES[name]
        (home / f"{name}.py").write_text(numbered(module, number))
    if "panel" in points:
        script = 'panel("node-count", (host, data) => { host.textContent = data.nodes })'
        (home / "summary.js").write_text(numbered(script, number))
    groups = "".join(f"[microtome.{kind}]\n{name} = {home.name}.{name}\n" for kind, name in points.items())
    described = folder / f"{home.name}-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(groups)
    return folder


def numbered(text: str, number: str) -> str:
    """The same with the entries' names made this package's own."""
    for name in NAMES:
        text = text.replace(f'"{name}"', f'"{name}{number}"')
    return text
