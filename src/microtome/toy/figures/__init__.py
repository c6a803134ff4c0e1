"""Figures of 'Toy Models of Superposition' and its follow-up: one file each."""
