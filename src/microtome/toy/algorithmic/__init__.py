"""Networks trained here on algorithms, whose mechanism is known and checked by interventions."""
