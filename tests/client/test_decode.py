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


def test_invariance_is_read_photo_by_photo_and_curve_by_curve() -> None:
    distances = pb.LayerDistances(layer="conv1", distances=[0, 2], normalised_distances=[0, 0.5])
    curve = pb.InvarianceCurve(
        transformation=pb.TRANSFORMATION_SCALE, values=[1, 0.6], probabilities=[0.5, 0.25], layers=[distances]
    )
    photo = pb.InvariancePhoto(
        label_id="n1", label="bee", chosen=pb.LABEL_CHOICE_GIVEN, probability=0.5, curves=[curve]
    )

    found = to_dataclass(
        Invariance, pb.MeasureInvarianceResponse(model="tiny", version=2, photos=[photo], picture=PICTURE)
    )

    assert (found.model, found.version, found.tensors) == ("tiny", 2, ())
    assert found.picture == Picture("seen", b"png", "grey is 0")
    layers = (LayerDistances("conv1", (0, 2), (0, 0.5)),)
    curves = (InvarianceCurve("scale", (1, 0.6), (0.5, 0.25), layers),)
    assert found.photos == (InvariancePhoto("n1", "bee", "given", 0.5, curves),)


def test_tensors_of_invariance_are_read_by_transformation() -> None:
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

    (found,) = to_dataclass(Invariance, pb.MeasureInvarianceResponse(tensors=[tensors])).tensors

    assert found.transformation == "rotation"
    for name, array in arrays.items():
        np.testing.assert_array_equal(getattr(found, name), array)


def test_unrequested_parts_of_invariance_are_none() -> None:
    found = to_dataclass(Invariance, pb.MeasureInvarianceResponse(model="tiny"))

    assert (found.picture, found.tensors) == (None, ())


def test_correspondence_is_read_row_by_row() -> None:
    row = pb.PartCorrespondence(part="nose", layer="fc6", mean=0.25, deviation=0.5, pairs=3)

    found = to_dataclass(
        Correspondence, pb.CorrespondResponse(model="tiny", version=2, rows=[row], picture=PICTURE)
    )

    assert (found.model, found.version) == ("tiny", 2)
    assert found.rows == (PartCorrespondence("nose", "fc6", 0.25, 0.5, 3),)
    assert found.picture == Picture("seen", b"png", "grey is 0")


def test_tensors_of_correspondence_are_none_where_they_are_unset() -> None:
    arrays = {"hamming": np.ones((1, 1, 2, 2), np.float32), "boxes": np.array([[[0, 1, 2, 3]]])}
    wire = {name: tensor_to_wire(array) for name, array in arrays.items()}

    found = to_dataclass(Correspondence, pb.CorrespondResponse(**wire))

    np.testing.assert_array_equal(found.hamming, arrays["hamming"])
    np.testing.assert_array_equal(found.boxes, arrays["boxes"])
    assert (found.random_hamming, found.random_boxes, found.picture) == (None, None, None)
