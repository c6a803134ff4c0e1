"""Activations of a model over many texts: kept in a store on disk, or given as the model runs."""
