"""microtome: cuts a neural network into its units of computation and shows which produced an output."""
