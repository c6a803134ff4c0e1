"""Which heads and MLPs, and which connections between them, carry a behaviour: patching, exact and to first order."""
