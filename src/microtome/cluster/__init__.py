"""Several processes that work as one: ranks, meshes, shards, on torch.distributed under torchrun."""
