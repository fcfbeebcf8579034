"""Drawings of the documentation, made from the engine's own numbers."""
