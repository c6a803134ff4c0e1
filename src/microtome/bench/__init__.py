"""Suites: dictionaries measured, with intervals over documents and the nulls that they have to beat."""
