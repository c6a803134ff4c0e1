"""One file a family, named after its `model_type`."""

from microtome.core.registry import import_siblings

import_siblings(__name__, list(__path__))
