"""Figures of 'Toy Models of Superposition' and its follow-up: one file each."""

from microtome.core.registry import import_siblings

import_siblings(__name__, list(__path__))
