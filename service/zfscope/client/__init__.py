"""A typed client: what a Python user writes against the service.

    from zfscope.client import Client

    with Client("localhost:50051") as zfscope:
        print(zfscope.classify("china.jpg").classes[0].label)
        seen = zfscope.project("china.jpg", layer="conv5", top=9)
        Path("conv5.png").write_bytes(seen.sheet.png)

A service elsewhere asks for TLS and a token: `Client("gpu:50051", access=Access(tls_ca="ca.pem",
token_file="token"))`, or the same from the environment.

It needs no torch, and raises the errors of `zfscope.errors` as if the work had been done in this process.
"""

from zfscope.client.access import Access
from zfscope.client.answers import (
    Accuracy,
    Analyzed,
    AnalyzerInfo,
    Classification,
    ClassScore,
    Correspondence,
    Evolution,
    EvolvedMap,
    EvolvedRecord,
    Invariance,
    InvarianceCurve,
    InvariancePhoto,
    InvarianceTensors,
    Label,
    Layer,
    LayerDistances,
    ModelInfo,
    ModelSummary,
    OccludedClass,
    OccludedMap,
    Occlusion,
    PartCorrespondence,
    PreprocessingInfo,
    Progress,
    Projection,
    Projections,
    Settling,
    TopK,
    TopMap,
    TopRecord,
    Unit,
)
from zfscope.client.arrays import PixelTensor
from zfscope.client.client import Client
from zfscope.client.requests import (
    CorrespondOptions,
    EvolveOptions,
    InvarianceOptions,
    OccludeOptions,
    Photo,
    ProjectOptions,
    TopKOptions,
)
from zfscope.images.geometry import Box
from zfscope.results import Analysis, Notice, Picture, Table

__all__ = [
    "Access",
    "Accuracy",
    "Analysis",
    "Analyzed",
    "AnalyzerInfo",
    "Box",
    "ClassScore",
    "Classification",
    "Client",
    "CorrespondOptions",
    "Correspondence",
    "Evolution",
    "EvolveOptions",
    "EvolvedMap",
    "EvolvedRecord",
    "Invariance",
    "InvarianceCurve",
    "InvarianceOptions",
    "InvariancePhoto",
    "InvarianceTensors",
    "Label",
    "Layer",
    "LayerDistances",
    "ModelInfo",
    "ModelSummary",
    "Notice",
    "OccludeOptions",
    "OccludedClass",
    "OccludedMap",
    "Occlusion",
    "PartCorrespondence",
    "Photo",
    "Picture",
    "PixelTensor",
    "PreprocessingInfo",
    "Progress",
    "ProjectOptions",
    "Projection",
    "Projections",
    "Settling",
    "Table",
    "TopK",
    "TopKOptions",
    "TopMap",
    "TopRecord",
    "Unit",
]
