"""Baselines: one file each."""
