"""Checks of the doctor: one file each."""
