"""Planted dictionaries as a suite: every architecture, and every null, held against features that are known."""
