"""Toy models of superposition: more features than dimensions, many models trained at once, and what they do."""
