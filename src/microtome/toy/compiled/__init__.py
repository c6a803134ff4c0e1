"""Compiled circuits: short programs made into the weights of a GPT-2, with what each head and unit does written down."""
