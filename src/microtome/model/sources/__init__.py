"""Finding and loading weights: everything up to a Hugging Face module and its tokenizer in memory."""
