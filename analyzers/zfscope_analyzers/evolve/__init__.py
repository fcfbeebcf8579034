"""Evolution of feature maps during training: their strongest photo at each stored epoch (Fig 4)."""

from zfscope_analyzers.evolve.analyzer import Evolve
from zfscope_analyzers.evolve.timeline import EvolveParams

__all__ = ["Evolve", "EvolveParams"]
