"""Texts of many lengths, for the tests here and for the processes that they start."""


def made_texts() -> tuple[str, ...]:
    """Sixty documents of 1 to 90 tokens; some say `<|end|>`, which is a special token."""
    words = ("the cat", " a mat", " sat", "<|end|>", " the end")
    return tuple("".join(words[(i * j) % 5] for j in range(1 + i % 17)) for i in range(60))
