"""Which units produced an output, how they connect, and the proof that they did."""
