"""Faithfulness of attributions: deletion and insertion (Petsiuk et al. 2018), and the pointing game."""

from zfscope_analyzers.faithfulness.analyzer import Faithfulness
from zfscope_analyzers.faithfulness.params import FaithfulnessParams

__all__ = ["Faithfulness", "FaithfulnessParams"]
