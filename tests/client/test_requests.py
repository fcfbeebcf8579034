"""What a user asks for, on the wire."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zfscope.client import Unit
from zfscope.client.requests import image_to_wire, project_request
from zfscope.errors import InputError
from zfscope.images.decode import decode
from zfscope.server.tensors import tensor_from_wire
from zfscope.v1 import analysis_pb2 as pb


def test_bytes_are_sent_as_they_are() -> None:
    assert image_to_wire(b"anything").encoded == b"anything"


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_stands_for_the_bytes_of_its_file(tmp_path: Path, kind: type) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"jpeg")

    assert image_to_wire(kind(tmp_path / "photo.jpg")).encoded == b"jpeg"


def test_a_path_without_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"'.*/photo.jpg' cannot be read: No such file or directory"
    ) as refusal:
        image_to_wire(tmp_path / "photo.jpg")

    assert refusal.value.field == "image"


def test_pixels_arrive_unchanged() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)

    np.testing.assert_array_equal(decode(image_to_wire(pixels).encoded), pixels)


def test_a_float_array_is_the_network_s_own_input() -> None:
    array = np.random.default_rng(1).normal(0, 1, (3, 4, 4)).astype(np.float32)

    np.testing.assert_array_equal(tensor_from_wire(image_to_wire(array).tensor, field="image"), array)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4)),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_any_other_array_is_refused_with_what_is_allowed(array: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"is no photo; allowed are pixels, uint8 \(H, W, 3\), and"):
        image_to_wire(array)


def test_what_is_left_out_is_unset_on_the_wire() -> None:
    request = project_request(b"photo", {})

    assert request == pb.ProjectRequest(image={"encoded": b"photo"})
    assert not request.HasField("top")
    assert not request.HasField("pictures")


def test_every_option_has_its_field() -> None:
    request = project_request(
        b"photo",
        {
            "model": "tiny",
            "version": 2,
            "layer": "conv1",
            "units": [Unit(3, 1, 2), Unit(4)],
            "rank": "sum",
            "rule": "gradient",
            "normalisation": "gradient",
            "control": True,
            "pictures": False,
            "tensors": True,
        },
    )

    assert (request.model, request.version, request.layer) == ("tiny", 2, "conv1")
    assert list(request.units) == [pb.UnitRef(map=3, y=1, x=2), pb.UnitRef(map=4)]
    assert (request.rank, request.rule) == (pb.RANK_SUM, pb.RULE_GRADIENT)
    assert request.normalisation == pb.NORMALISATION_GRADIENT
    assert (request.control, request.pictures, request.tensors) == (True, False, True)


@pytest.mark.parametrize("name", ["rank", "rule", "normalisation"])
def test_a_word_that_is_no_choice_is_refused_with_the_choices(name: str) -> None:
    options: Any = {name: "sideways"}

    with pytest.raises(InputError, match="'sideways' is not allowed; ") as refusal:
        project_request(b"photo", options)

    assert refusal.value.field == name
