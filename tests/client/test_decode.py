"""Responses of the service, converted to plain values."""

import numpy as np

from zfscope.client import (
    Correspondence,
    Invariance,
    InvarianceCurve,
    InvariancePhoto,
    LayerDistances,
    PartCorrespondence,
    Picture,
)
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1 import image_pb2
from zfscope.wire.convert import to_dataclass
from zfscope.wire.tensors import tensor_to_wire

PICTURE = image_pb2.Picture(name="seen", png=b"png", scale="grey is 0")


def test_invariance_has_photos_with_curves() -> None:
    distances = pb.LayerDistances(layer="conv1", distances=[0, 2], normalised_distances=[0, 0.5])
    curve = pb.InvarianceCurve(
        transformation=pb.TRANSFORMATION_SCALE, values=[1, 0.6], probabilities=[0.5, 0.25], layers=[distances]
    )
    photo = pb.InvariancePhoto(
        label_id="n1", label="bee", chosen=pb.LABEL_CHOICE_GIVEN, probability=0.5, curves=[curve]
    )

    result = to_dataclass(
        Invariance, pb.MeasureInvarianceResponse(model="tiny", version=2, photos=[photo], picture=PICTURE)
    )

    assert (result.model, result.version, result.tensors) == ("tiny", 2, ())
    assert result.picture == Picture("seen", b"png", "grey is 0")
    layers = (LayerDistances("conv1", (0, 2), (0, 0.5)),)
    curves = (InvarianceCurve("scale", (1, 0.6), (0.5, 0.25), layers),)
    assert result.photos == (InvariancePhoto("n1", "bee", "given", 0.5, curves),)


def test_invariance_has_tensors_per_transformation() -> None:
    arrays = {
        "values": np.array([0, 90], np.float32),
        "distances": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
        "normalised_distances": np.ones((1, 2, 3), np.float32),
        "probabilities": np.array([[0.5, 0.25]], np.float32),
    }
    tensors = pb.InvarianceTensors(
        transformation=pb.TRANSFORMATION_ROTATION,
        **{name: tensor_to_wire(array) for name, array in arrays.items()},
    )

    (result,) = to_dataclass(Invariance, pb.MeasureInvarianceResponse(tensors=[tensors])).tensors

    assert result.transformation == "rotation"
    for name, array in arrays.items():
        np.testing.assert_array_equal(getattr(result, name), array)


def test_unrequested_parts_of_invariance_are_none() -> None:
    result = to_dataclass(Invariance, pb.MeasureInvarianceResponse(model="tiny"))

    assert (result.picture, result.tensors) == (None, ())


def test_correspondence_has_rows() -> None:
    row = pb.PartCorrespondence(part="nose", layer="fc6", mean=0.25, deviation=0.5, pairs=3)

    result = to_dataclass(
        Correspondence, pb.CorrespondResponse(model="tiny", version=2, rows=[row], picture=PICTURE)
    )

    assert (result.model, result.version) == ("tiny", 2)
    assert result.rows == (PartCorrespondence("nose", "fc6", 0.25, 0.5, 3),)
    assert result.picture == Picture("seen", b"png", "grey is 0")


def test_unset_tensors_of_correspondence_are_none() -> None:
    arrays = {"hamming": np.ones((1, 1, 2, 2), np.float32), "boxes": np.array([[[0, 1, 2, 3]]])}
    wire = {name: tensor_to_wire(array) for name, array in arrays.items()}

    result = to_dataclass(Correspondence, pb.CorrespondResponse(**wire))

    np.testing.assert_array_equal(result.hamming, arrays["hamming"])
    np.testing.assert_array_equal(result.boxes, arrays["boxes"])
    assert (result.random_hamming, result.random_boxes, result.picture) == (None, None, None)
