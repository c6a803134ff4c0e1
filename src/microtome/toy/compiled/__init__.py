"""Compiled circuits: programs made into the weights of a GPT-2, with what each of its parts does written down."""
