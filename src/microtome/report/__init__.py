"""Reports: everything that was found, on one page that needs nothing else."""
