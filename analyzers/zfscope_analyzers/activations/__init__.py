"""The analyzer `activations`: the feature maps of a layer for one photo, and their strongest units."""

from zfscope_analyzers.activations.analyzer import Activations

__all__ = ["Activations"]
