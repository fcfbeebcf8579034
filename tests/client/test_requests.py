"""Arguments of the client methods as requests on the wire."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.calls import RecordingClient, analyze_request
from zfscope.client import Box, Unit
from zfscope.client.photos import image_to_wire
from zfscope.errors import InputError
from zfscope.images.decode import decode
from zfscope.v1 import analysis_pb2 as pb
from zfscope.wire.tensors import tensor_from_wire


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with RecordingClient() as client:
        yield client


def test_bytes_are_sent_unchanged() -> None:
    assert image_to_wire(b"anything").encoded == b"anything"


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_sent_as_the_bytes_of_its_file(tmp_path: Path, kind: type) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"jpeg")

    assert image_to_wire(kind(tmp_path / "photo.jpg")).encoded == b"jpeg"


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"'.*/photo.jpg' cannot be read: No such file or directory"
    ) as refusal:
        image_to_wire(tmp_path / "photo.jpg")

    assert refusal.value.field == "image"


def test_pixels_are_sent_losslessly() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)

    np.testing.assert_array_equal(decode(image_to_wire(pixels).encoded), pixels)


def test_a_float_array_is_sent_as_the_network_input() -> None:
    array = np.random.default_rng(1).normal(0, 1, (3, 4, 4)).astype(np.float32)

    np.testing.assert_array_equal(tensor_from_wire(image_to_wire(array).tensor, field="image"), array)


@pytest.mark.parametrize("photos", [b"photo", "photo.jpg", Path("photo.jpg"), np.zeros((4, 4, 3), np.uint8)])
@pytest.mark.parametrize(
    "call",
    [
        lambda client, photos: client.measure_invariance(photos),
        lambda client, photos: client.correspond(photos, {}),
        lambda _, photos: analyze_request("invariance", photos, {}),
    ],
)
def test_a_single_photo_in_place_of_a_list_is_rejected(client: Any, call: Any, photos: Any) -> None:
    with pytest.raises(InputError, match=r"images is a single photo; pass a list: \[photo\]") as refusal:
        call(client, photos)

    assert refusal.value.field == "images"


@pytest.mark.parametrize("bad", ["nowhere.jpg", np.zeros((4, 4))])
def test_an_invalid_photo_of_a_list_is_named(client: Any, bad: Any) -> None:
    with pytest.raises(InputError) as refusal:
        client.measure_invariance([b"photo", bad])

    assert refusal.value.field == "images[1]"


def test_omitted_options_are_unset_on_the_wire(client: Any) -> None:
    request = client.project(b"photo")

    assert request == pb.ProjectRequest(image={"encoded": b"photo"})
    assert not request.HasField("top")
    assert not request.HasField("pictures")


def test_every_option_has_its_field(client: Any) -> None:
    request = client.project(
        b"photo",
        model="tiny",
        version=2,
        layer="conv1",
        units=[Unit(3, 1, 2), Unit(4)],
        rank="sum",
        rule="gradient",
        normalisation="gradient",
        control=True,
        pictures=False,
        tensors=True,
    )

    assert (request.model, request.version, request.layer) == ("tiny", 2, "conv1")
    assert list(request.units) == [pb.UnitRef(map=3, y=1, x=2), pb.UnitRef(map=4)]
    assert (request.rank, request.rule) == (pb.RANK_SUM, pb.RULE_GRADIENT)
    assert request.normalisation == pb.NORMALISATION_GRADIENT
    assert (request.control, request.pictures, request.tensors) == (True, False, True)


def test_omitted_options_of_invariance_are_unset_on_the_wire(client: Any) -> None:
    request = client.measure_invariance([b"one", b"two"])

    assert request == pb.MeasureInvarianceRequest(images=[{"encoded": b"one"}, {"encoded": b"two"}])
    assert not request.HasField("pictures")


def test_every_option_of_invariance_has_its_field(client: Any) -> None:
    request = client.measure_invariance(
        [b"photo"],
        model="tiny",
        version=2,
        transformations=["scale", "horizontal"],
        translations_px=[-6, 0, 0.5],
        scales=[0.6],
        rotations_deg=[10],
        layers=["conv1", "fc6"],
        fill="edge",
        labels=["cat"],
        pictures=False,
        tensors=True,
    )

    assert (request.model, request.version, list(request.layers)) == ("tiny", 2, ["conv1", "fc6"])
    assert list(request.transformations) == [pb.TRANSFORMATION_SCALE, pb.TRANSFORMATION_HORIZONTAL]
    values = request.translations_px, request.scales, request.rotations_deg
    assert [list(numbers) for numbers in values] == [[-6, 0, 0.5], [0.6], [10]]
    assert (request.fill, list(request.labels)) == (pb.FILL_EDGE, ["cat"])
    assert (request.pictures, request.tensors) == (False, True)


def test_an_unknown_transformation_is_rejected_with_its_index(client: Any) -> None:
    message = "'shear' is not valid; allowed: vertical, horizontal, scale, rotation"
    with pytest.raises(InputError, match=message) as refusal:
        client.measure_invariance([b"photo"], transformations=["scale", "shear"])

    assert refusal.value.field == "transformations[1]"


def test_a_box_that_is_a_tuple_is_rejected_with_the_names_of_its_sides(client: Any) -> None:
    with pytest.raises(InputError, match=r"\(0, 0, 9, 9\) is not a mapping with x0, y0, x1, y1") as refusal:
        client.occlude(b"photo", boxes=[(0, 0, 9, 9)])

    assert refusal.value.field == "boxes"


@pytest.mark.parametrize("attribution", [[[1.0, 2.0]], Image.new("L", (4, 4))])
def test_an_attribution_that_is_neither_an_array_nor_a_file_is_rejected(
    client: Any, attribution: Any
) -> None:
    message = r"attribution is of type (list|Image); allowed: an array \(rows, columns\), or a \.npy file"
    with pytest.raises(InputError, match=message) as refusal:
        client.measure_faithfulness([b"photo"], attribution=attribution)

    assert refusal.value.field == "attribution"


def test_masks_are_sent_as_the_bytes_of_their_files(client: Any, tmp_path: Path) -> None:
    (tmp_path / "nose.png").write_bytes(b"png")
    masks: list[Any] = [b"bytes", str(tmp_path / "nose.png"), tmp_path / "nose.png"]

    assert list(client.occlude(b"photo", masks=masks).masks) == [b"bytes", b"png", b"png"]


@pytest.mark.parametrize("masks", [b"mask", "mask.png", Path("mask.png")])
def test_a_single_mask_in_place_of_a_list_is_rejected(client: Any, masks: Any) -> None:
    message = r"masks is a single mask; pass a list: \[mask\]"
    with pytest.raises(InputError, match=message) as refusal:
        client.occlude(b"photo", masks=masks)

    assert refusal.value.field == "masks"


def test_polygons_are_sent_as_their_vertices(client: Any) -> None:
    triangle = [(1, 2), (3.5, 4), (5, 6)]
    request = client.occlude(b"photo", polygons=[triangle, np.array(triangle)])

    vertices = [[(point.x, point.y) for point in polygon.vertices] for polygon in request.polygons]
    assert vertices == [triangle, triangle]
    assert not request.boxes


@pytest.mark.parametrize(
    ("polygons", "field", "message"),
    [
        ([(1, 2), (3, 4), (5, 6)], "polygons[0]", r"polygons\[0\] is \(1, 2\); a polygon is a list of ver"),
        ([[(1, 2), (3, 4, 5)]], "polygons[0]", r"each \(x, y\) in photo pixels"),
        ([[(1, 2), (3, "four")]], "polygons[0]", "a polygon is a list of vertices"),
        (7, "polygons", "polygons is 7; pass a list of polygons"),
    ],
)
def test_invalid_polygons_are_named(client: Any, polygons: Any, field: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        client.occlude(b"photo", polygons=polygons)

    assert refusal.value.field == field


def test_a_missing_mask_file_is_named(client: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'.*/nose.png' cannot be read: No such file") as refusal:
        client.occlude(b"photo", masks=[b"png", tmp_path / "nose.png"])

    assert refusal.value.field == "masks[1]"


def test_omitted_options_of_correspond_are_unset_on_the_wire(client: Any) -> None:
    request = client.correspond([b"one"], {"nose": [Box(1, 2, 3.5, 4)]})

    box = {"x0": 1, "y0": 2, "x1": 3.5, "y1": 4}
    assert request == pb.CorrespondRequest(
        images=[{"encoded": b"one"}], parts=[{"name": "nose", "boxes": [box]}]
    )
    assert not any(request.HasField(name) for name in ("random", "seed", "pictures"))


def test_every_option_of_correspond_has_its_field(client: Any) -> None:
    request = client.correspond(
        [b"photo"],
        {"nose": [Box(0, 0, 1, 1)], "eye": []},
        model="tiny",
        version=2,
        layers=["conv1"],
        random=0,
        seed=3,
        fill="mean",
        pictures=False,
        tensors=True,
    )

    assert (request.model, request.version, list(request.layers)) == ("tiny", 2, ["conv1"])
    assert [(part.name, len(part.boxes)) for part in request.parts] == [("nose", 1), ("eye", 0)]
    assert (request.HasField("random"), request.random, request.seed) == (True, 0, 3)
    assert request.fill == pb.FILL_COLOUR_MEAN
    assert (request.pictures, request.tensors) == (False, True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client, fill: client.measure_invariance([], fill=fill), "mean, grey, black, edge"),
        (lambda client, fill: client.correspond([], {}, fill=fill), "mean, grey, black"),
    ],
)
def test_an_unknown_fill_is_rejected_with_the_choices(client: Any, call: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"'blue' is not valid; allowed: {message}") as refusal:
        call(client, "blue")

    assert refusal.value.field == "fill"


@pytest.mark.parametrize("name", ["rank", "rule", "normalisation"])
def test_an_unknown_choice_is_rejected_with_the_choices(client: Any, name: str) -> None:
    options: Any = {name: "sideways"}

    with pytest.raises(InputError, match="'sideways' is not valid; allowed: ") as refusal:
        client.project(b"photo", **options)

    assert refusal.value.field == name
