"""Planted dictionaries: activations whose features are known, so that what is learned can be held to truth."""
