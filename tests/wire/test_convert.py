"""Conversion between messages and plain values."""

from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message

from zfscope.answers import (
    AnalyzerInfo,
    Classification,
    ClassScore,
    Correspondence,
    GraphInfo,
    ModelInfo,
    ModelSummary,
    PartCorrespondence,
    PreprocessingInfo,
    Progress,
    Projection,
    Projections,
    Unit,
)
from zfscope.answers.models import Accuracy, LabelInfo, LayerInfo
from zfscope.errors import InputError
from zfscope.images.geometry import Box
from zfscope.results import Analysis, Notice, Picture, Table
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1 import classification_pb2, image_pb2, model_pb2
from zfscope.wire.convert import to_dataclass, to_message, to_values

SUMMARY = ModelSummary("tiny", 2, "A network", "tiny", 4, 1234, True)
LAYERS = (LayerInfo("conv1", "conv", (6, 14, 14), 456, 2, 5), LayerInfo("fc6", "linear", (4,), 9, None, None))
STEPS = PreprocessingInfo(256, 256, 224, "BGR", (1.0, 2.0, 3.0), (1.0, 1.0, 1.0), "bicubic")
GREY_STEPS = PreprocessingInfo(110, 110, 96, "grey", (1.0,), (2.0,), "lanczos")
PROJECTION = Projection(
    layer="conv1",
    map=3,
    y=0,
    x=None,
    activation=0.5,
    receptive_field=Box(0, 1.5, 7, 8),
    picture=Picture("seen", b"png", "grey is 0"),
    tensor=np.arange(12, dtype=np.float32).reshape(3, 2, 2),
    control_tensor=None,
    control_ssim=0.25,
    control_rank_correlation=None,
)
EXAMPLES: tuple[tuple[Any, type[Message]], ...] = (
    (SUMMARY, model_pb2.ModelSummary),
    (ModelInfo(SUMMARY, LAYERS, (LabelInfo("n1", "bee"),), STEPS, None), model_pb2.GetModelResponse),
    (
        ModelInfo(SUMMARY, (), (), GREY_STEPS, Accuracy(50, 100, None, 25, 4, "four photos")),
        model_pb2.GetModelResponse,
    ),
    (
        Classification("tiny", 1, (ClassScore(2, "n1", "bee", 0.5, -1.0),), (48, 60), (Notice("a", "b"),)),
        classification_pb2.ClassifyResponse,
    ),
    (
        Correspondence(
            "tiny", 1, (PartCorrespondence("nose", "conv1", 0.5, 0.0, 3),), None, None, None, None, None
        ),
        pb.CorrespondResponse,
    ),
    (AnalyzerInfo("a", "b", "c", "1", {"type": "object"}, None, 1, 16), pb.Analyzer),
    (
        AnalyzerInfo("a", "b", "c", "1", {}, 2, 1, 1, ("network", "scores", "outputs"), "it lacks one"),
        pb.Analyzer,
    ),
    (
        ModelInfo(SUMMARY, (), (), STEPS, None, graph=GraphInfo("Concat 'a'", False)),
        model_pb2.GetModelResponse,
    ),
    (Progress(0.5, None, None), pb.Progress),
    (
        Analysis(
            pictures=(Picture("p", b"png", ""),),
            numbers={"windows": 3.0},
            tables={"t": Table(("a", "b", "c"), (("x", 1, None), ("", 0.5, "y")))},
            warnings=(Notice("code", "message", "field"),),
        ),
        pb.Analysis,
    ),
)


@pytest.mark.parametrize(("value", "kind"), EXAMPLES)
def test_a_dataclass_is_unchanged_after_a_round_trip(value: Any, kind: type[Message]) -> None:
    sent = kind.FromString(to_message(kind, value).SerializeToString())

    assert vars(to_dataclass(type(value), sent)) == vars(value)


def test_tensors_and_optional_fields_are_unchanged_after_a_round_trip() -> None:
    answer = Projections("tiny", 1, (PROJECTION,), None, (48, 60))
    (read,) = to_dataclass(Projections, to_message(pb.ProjectResponse, answer)).projections

    assert read.tensor is not None
    np.testing.assert_array_equal(read.tensor, PROJECTION.tensor)
    assert {**vars(read), "tensor": None} == {**vars(PROJECTION), "tensor": None}


def test_a_size_is_sent_as_width_and_height() -> None:
    answer = Classification("tiny", 1, (), (48, 60))

    assert to_message(classification_pb2.ClassifyResponse, answer).photo == image_pb2.Size(
        width=60, height=48
    )


def test_values_become_fields_and_none_stays_unset() -> None:
    request = to_message(
        pb.ProjectRequest,
        {
            "layer": "conv1",
            "top": None,
            "rule": "guided",
            "units": [Unit(3, 1, 2), {"map": 0}],
            "control": True,
        },
    )

    assert request == pb.ProjectRequest(
        layer="conv1",
        rule=pb.RULE_GUIDED,
        units=[pb.UnitRef(map=3, y=1, x=2), pb.UnitRef(map=0)],
        control=True,
    )
    assert not request.HasField("top")


def test_set_fields_of_a_request_become_values() -> None:
    request = pb.OccludeRequest(
        model="tiny",
        window=0,
        boxes=[image_pb2.Box(x0=1, y1=2.5)],
        masks=[b"png"],
        value=pb.CLASS_VALUE_LOGIT,
        map=0,
        control=True,
    )

    assert to_values(request, leave_out={"model"}) == {
        "window": 0,
        "boxes": [{"x0": 1, "y0": 0, "x1": 0, "y1": 2.5}],
        "masks": [b"png"],
        "value": "logit",
        "map": 0,
        "control": True,
    }
    assert to_values(pb.OccludeRequest()) == {}


def test_enums_in_lists_become_names_and_unspecified_ones_are_rejected() -> None:
    request = pb.MeasureInvarianceRequest(transformations=[pb.TRANSFORMATION_SCALE])
    assert to_values(request) == {"transformations": ["scale"]}

    request.transformations.append(pb.TRANSFORMATION_UNSPECIFIED)
    with pytest.raises(InputError) as refusal:
        to_values(request)
    assert refusal.value.field == "transformations[1]"


@pytest.mark.parametrize("layers", ["conv1", b"conv1", 5])
def test_a_string_or_number_in_place_of_a_list_is_rejected(layers: Any) -> None:
    with pytest.raises(InputError, match=r"^layers is .*; it must be a list$") as refusal:
        to_message(pb.CorrespondRequest, {"layers": layers})
    assert refusal.value.field == "layers"


def test_an_unknown_enum_name_is_rejected() -> None:
    with pytest.raises(InputError, match=r"'sideways' is not valid") as refusal:
        to_message(pb.ProjectRequest, {"rule": "sideways"})
    assert refusal.value.field == "rule"
