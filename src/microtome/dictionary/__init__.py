"""Dictionaries: sets of units with read vectors and write vectors, one type for every basis."""

from microtome.dictionary import architectures as architectures  # so that every one registers itself
from microtome.dictionary import baselines as baselines
