"""What may be measured of a dictionary beside its reconstruction, where it is asked for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from microtome.activations.store import ActivationStore
from microtome.bench.absorbing import absorbed
from microtome.bench.agreeing import agree
from microtome.bench.config import MeasureConfig
from microtome.bench.probing import probe
from microtome.bench.reconstructing import read
from microtome.core.errors import UnknownName
from microtome.data.labelled import Pairs
from microtome.dictionary.baseline import beside
from microtome.dictionary.dictionary import Dictionary
from microtome.evidence.measurement import Measurement
from microtome.evidence.quantity import Quantity
from microtome.model.model import Model

Figure = Measurement | Quantity


@dataclass(frozen=True, eq=False)
class Further:
    """Further arguments of `measure`, all by name.

    Attributes:
        control: the same dictionary trained on the model with reinitialised weights, and the store that it was
            trained on: how much of the figure has nothing to do with what the model learned. Not a null.
        concepts: by name, labelled texts, or a set of `sae-probes` by its name: how well one unit and five tell them
            (`probing.probe`). Raw neurons are all there to choose from, not only a token's strongest.
        classes: by name, texts that end in a word of the class: how often other units stand in for its own
            (`absorbing.absorbed`).
        reseeded: by name, dictionaries made in the same way with other seeds: how far the same units come back
            (`agreeing.agree`).
    """

    control: tuple[Dictionary, ActivationStore] | None = None
    concepts: Mapping[str, str | Pairs] | None = None
    classes: Mapping[str, Iterable[str]] | None = None
    reseeded: Mapping[str, Dictionary] | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Further":
        """From arguments by name.

        Raises:
            UnknownName: there is no such argument; the message names the nearest.
        """
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise UnknownName("argument of measure", name, known, do="remove or rename it")
        return cls(**given)

    @property
    def read_by_a_model(self) -> dict[str, Any]:
        """What asks for a model."""
        return {"concepts": self.concepts, "classes": self.classes}

    def measured(
        self, dictionary: Dictionary, model: Model | None, others: Mapping[str, Dictionary], config: MeasureConfig
    ) -> dict[str, Figure]:
        """All that was asked for, beside the dictionaries that are to be beaten."""
        found: dict[str, Figure] = {}
        if model is not None and self.concepts is not None:
            rivals = dict(others)
            if "neurons" in rivals:
                rivals["neurons"] = beside(dictionary, "neurons")
            found.update(probe(dictionary, model, self.concepts, others=rivals, config=config))
        if model is not None and self.classes is not None:
            found.update(absorbed(dictionary, model, self.classes, others=others, config=config))
        if self.reseeded is not None:
            found.update(agree(dictionary, self.reseeded, config=config))
        if self.control is not None:
            value = read(*self.control, config).of_all["explained_variance"].value()
            name, note = "variance explained, reinitialised model", "a control: what needs no trained model"
            found[name] = Quantity(name, value, "share", note)
        return found
