"""Bases in which a circuit can be told: one file each."""
