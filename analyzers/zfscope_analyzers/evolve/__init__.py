"""How maps come to be: what excites them most at each stored epoch of the training (Fig 4)."""

from zfscope_analyzers.evolve.analyzer import Evolve
from zfscope_analyzers.evolve.course import EvolveParams

__all__ = ["Evolve", "EvolveParams"]
