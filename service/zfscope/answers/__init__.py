"""Results of the client methods: plain values without torch or gRPC, the same for every client.

`warnings` of a result lists assumptions made and data left out; it is usually empty.
"""

from typing import Any

from zfscope.answers.activations import ACTIVATIONS, Activations, ActiveUnit
from zfscope.answers.analysis import Analyzed, AnalyzerInfo, Progress, TypedAnalysis
from zfscope.answers.architectures import ARCHITECTURES, Comparison
from zfscope.answers.classification import Classification, ClassScore
from zfscope.answers.correspond import CORRESPOND, Correspondence, PartCorrespondence
from zfscope.answers.evolve import EVOLVE, Evolution, EvolvedMap, EvolvedRecord, Settling
from zfscope.answers.faithfulness import (
    FAITHFULNESS,
    FaithfulnessMean,
    FaithfulnessPhoto,
    FaithfulnessResult,
    RemovalCurve,
)
from zfscope.answers.invariance import (
    INVARIANCE,
    Invariance,
    InvarianceCurve,
    InvariancePhoto,
    InvarianceTensors,
    LayerDistances,
)
from zfscope.answers.models import (
    Accuracy,
    GraphInfo,
    LabelInfo,
    LayerInfo,
    ModelInfo,
    ModelSummary,
    PreprocessingInfo,
)
from zfscope.answers.occlude import OCCLUDE, ClassChange, OccludedClass, OccludedMap, Occlusion
from zfscope.answers.project import PROJECT, Projection, Projections, Unit
from zfscope.answers.top_k import TOP_K, ClassCount, IndexedPhoto, MapHistogram, TopK, TopMap, TopRecord

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "CORRESPOND",
    "EVOLVE",
    "FAITHFULNESS",
    "INVARIANCE",
    "OCCLUDE",
    "PROJECT",
    "TOP_K",
    "TYPED",
    "Accuracy",
    "Activations",
    "ActiveUnit",
    "Analyzed",
    "AnalyzerInfo",
    "ClassChange",
    "ClassCount",
    "ClassScore",
    "Classification",
    "Comparison",
    "Correspondence",
    "Evolution",
    "EvolvedMap",
    "EvolvedRecord",
    "FaithfulnessMean",
    "FaithfulnessPhoto",
    "FaithfulnessResult",
    "GraphInfo",
    "IndexedPhoto",
    "Invariance",
    "InvarianceCurve",
    "InvariancePhoto",
    "InvarianceTensors",
    "LabelInfo",
    "LayerDistances",
    "LayerInfo",
    "MapHistogram",
    "ModelInfo",
    "ModelSummary",
    "OccludedClass",
    "OccludedMap",
    "Occlusion",
    "PartCorrespondence",
    "PreprocessingInfo",
    "Progress",
    "Projection",
    "Projections",
    "RemovalCurve",
    "Settling",
    "TopK",
    "TopMap",
    "TopRecord",
    "Unit",
]

# Analyses with a dedicated RPC.
TYPED: tuple[TypedAnalysis[Any], ...] = (
    ACTIVATIONS,
    ARCHITECTURES,
    CORRESPOND,
    EVOLVE,
    FAITHFULNESS,
    INVARIANCE,
    OCCLUDE,
    PROJECT,
    TOP_K,
)
