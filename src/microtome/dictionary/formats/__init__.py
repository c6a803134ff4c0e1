"""Formats of dictionaries in files: one file each."""
