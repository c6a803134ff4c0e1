"""Ways to score the nodes and edges of a network's component graph: one file each."""
