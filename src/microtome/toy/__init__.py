"""Small networks whose making is known: little language models, and the loop that fits them."""
