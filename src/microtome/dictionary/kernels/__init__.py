"""Products and choices that touch active units only: `plain` for any device, `compiled` for the CPU."""
