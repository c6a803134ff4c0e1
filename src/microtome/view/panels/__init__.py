"""The panels: one Python file and one JavaScript file each."""
