"""The engine: traces, deconvnet projections and incremental occlusion."""

from zfscope.engine.backward import Normalisation, Rule
from zfscope.engine.deconvnet import project
from zfscope.engine.seeds import Maps, Rank, Seed, Unit, strongest_unit, strongest_units
from zfscope.engine.trace import Trace, trace
from zfscope.networks.receptive import ReceptiveField, receptive_fields

__all__ = [
    "Maps",
    "Normalisation",
    "Rank",
    "ReceptiveField",
    "Rule",
    "Seed",
    "Trace",
    "Unit",
    "project",
    "receptive_fields",
    "strongest_unit",
    "strongest_units",
    "trace",
]
