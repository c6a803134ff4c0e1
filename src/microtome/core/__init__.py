"""The words everything else is written in: sites, registries, errors, configs, artefacts, progress."""
