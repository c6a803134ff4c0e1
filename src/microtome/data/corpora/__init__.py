"""The kinds of corpora, one a file."""
