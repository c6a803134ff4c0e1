"""Networks trained to compute a program at known places, by interchanging activations between inputs."""
