"""Figures of toy models, drawn: one file each, under the name of the figure that it draws."""

from microtome.core.registry import import_siblings

import_siblings(__name__, list(__path__))
