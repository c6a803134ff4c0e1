"""Figures of toy models, drawn: one file each, under the name of the figure that it draws."""
