"""microtome: cuts a neural network into its units of computation and shows which produced an output.

import microtome as mt

model = mt.open("smollm2")
graph = mt.trace(model, "The capital of France is", counterfactual="The capital of Germany is")
proof = mt.prove(model, graph)
mt.report(graph, proof, "france.html")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from microtome.core.progress import working
from microtome.core.showing import drawn_by

if TYPE_CHECKING:
    from microtome.activations.harvest import harvest as harvest
    from microtome.activations.store import open_store as open_store
    from microtome.bench.measuring import measure as measure
    from microtome.circuit.graph import Graph as Graph
    from microtome.circuit.patching.patching import patch as patch
    from microtome.circuit.proof import Proof as Proof
    from microtome.circuit.proving import prove as prove
    from microtome.circuit.site_target import target as target
    from microtome.circuit.trace import trace as trace
    from microtome.core.errors import MicrotomeError as MicrotomeError
    from microtome.data.task import task as task
    from microtome.dictionary.exchange import load_dictionary as load_dictionary
    from microtome.evidence.ledger import Ledger as Ledger
    from microtome.model.edits import ablate as ablate
    from microtome.model.edits import add as add
    from microtome.model.edits import scale as scale
    from microtome.model.edits import set as set
    from microtome.model.edits import splice as splice
    from microtome.model.model import Model as Model
    from microtome.model.opening import open as open
    from microtome.report.writer import report as report
    from microtome.train.planning import plan as plan
    from microtome.train.training import train as train

_HOMES = {
    "Graph": "microtome.circuit.graph",
    "Ledger": "microtome.evidence.ledger",
    "MicrotomeError": "microtome.core.errors",
    "Model": "microtome.model.model",
    "Proof": "microtome.circuit.proof",
    "ablate": "microtome.model.edits",
    "add": "microtome.model.edits",
    "harvest": "microtome.activations.harvest",
    "load_dictionary": "microtome.dictionary.exchange",
    "measure": "microtome.bench.measuring",
    "open": "microtome.model.opening",
    "open_store": "microtome.activations.store",
    "patch": "microtome.circuit.patching.patching",
    "plan": "microtome.train.planning",
    "prove": "microtome.circuit.proving",
    "report": "microtome.report.writer",
    "scale": "microtome.model.edits",
    "set": "microtome.model.edits",
    "splice": "microtome.model.edits",
    "target": "microtome.circuit.site_target",
    "task": "microtome.data.task",
    "trace": "microtome.circuit.trace",
    "train": "microtome.train.training",
}

__all__ = sorted(_HOMES)

drawn_by(
    {
        "certificate": "microtome.view.notebook:certificate_html",
        "direct attribution": "microtome.view.notebook:direct_html",
        "graph": "microtome.view.notebook:graph_html",
        "logit lens": "microtome.view.notebook:lens_html",
        "prediction": "microtome.view.notebook:prediction_html",
        "proof": "microtome.view.notebook:proof_html",
    }
)


def __getattr__(name: str) -> Any:
    """Imports a name's home when it is first asked for, so that `import microtome` stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'microtome' has no attribute {name!r}")
    with working("importing torch and transformers"):
        value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
