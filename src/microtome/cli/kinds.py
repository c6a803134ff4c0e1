"""The kinds of entry that `microtome list` knows, and where each is registered: known without importing any."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # nothing is imported for a list of kinds
    from microtome.core.registry import Registry

# Kind: the module that holds its registry, its name there, and what its entries are.
HOMES = {
    "architecture": ("microtome.dictionary.architecture", "ARCHITECTURES", "dictionaries that are trained"),
    "baseline": ("microtome.dictionary.baseline", "BASELINES", "dictionaries that are not, to compare with"),
    "basis": ("microtome.circuit.basis", "BASES", "units that a circuit is told in"),
    "check": ("microtome.train.doctor.check", "CHECKS", "what is watched while a dictionary is trained"),
    "corpus": ("microtome.data.corpus", "CORPORA", "texts, by name or kind of file"),
    "dictionary": ("microtome.dictionary.listing", "DICTIONARIES", "dictionaries with a name, and how to get them"),
    "drawing": ("microtome.view.drawing", "DRAWINGS", "figures of toy models, as pictures"),
    "family": ("microtome.model.family", "FAMILIES", "architectures of models whose parts have names"),
    "figure": ("microtome.toy.reproduction", "FIGURES", "figures of papers on toy models, made again"),
    "format": ("microtome.dictionary.format", "FORMATS", "files of dictionaries, ours and other tools'"),
    "method": ("microtome.circuit.patching.method", "METHODS", "ways to score heads, MLPs and their connections"),
    "metric": ("microtome.metrics.metric", "METRICS", "what is measured of a dictionary"),
    "model": ("microtome.model.sources.named", "NAMED", "models with a short name"),
    "panel": ("microtome.view.panel", "PANELS", "parts of a report"),
    "patching-metric": ("microtome.circuit.patching.rows", "METRICS", "what patching measures the effect on"),
    "program": ("microtome.toy.compiled.programs", "PROGRAMS", "programs that are compiled to networks"),
    "rule": ("microtome.circuit.attribution", "RULES", "where the gradient of an attribution is taken"),
    "task": ("microtome.data.generator", "TASKS", "prompts with counterfactuals, made from a seed"),
    "trained-network": ("microtome.toy.known", "TRAINED", "small trained networks whose mechanism is known"),
}


def registry_of(kind: str) -> "Registry[Any]":
    """The registry of a kind, which is imported."""
    module, name, _ = HOMES[kind]
    return vars(import_module(module))[name]
