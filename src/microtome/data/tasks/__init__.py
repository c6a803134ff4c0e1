"""The generators of tasks, one a file."""
