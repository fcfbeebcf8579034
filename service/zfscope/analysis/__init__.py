"""Analyses of photos by a model: the plugin contract, registry, execution and validation."""
