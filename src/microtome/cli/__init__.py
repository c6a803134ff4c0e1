"""The command line: one file a command, which parses, calls the library and prints what came back."""

from microtome.cli.app import main

__all__ = ["main"]
