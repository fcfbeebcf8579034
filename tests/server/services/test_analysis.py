"""Project over the wire, compared with the analyzer in process."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.calls import call_of
from tests.support.numeric import assert_close
from zfscope.analysis.contract import Context
from zfscope.analysis.registry import load_analyzers
from zfscope.answers import PROJECT
from zfscope.client import Client, Unit
from zfscope.errors import InputError, NotFound, TooMuchWork
from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.runtimes import create_runtime
from zfscope.store import ModelStore
from zfscope.v1 import analysis_pb2 as pb

PNG = b"\x89PNG\r\n\x1a\n"


def test_the_response_matches_the_analyzer_in_process(client: Client, photo: bytes, store: Path) -> None:
    model = ModelStore(store).load("tiny")
    project = load_analyzers().analyzer("project")
    params = project.params(top=4, rank="sum", rule="guided", normalisation="gradient", control=True)
    images = (prepare(decode(photo), model.preprocessing),)
    expected = project.analyze(Context(model, create_runtime("torch", model), images), params)
    records = expected.tables["projections"].records()

    answer = client.project(
        photo, top=4, rank="sum", rule="guided", normalisation="gradient", control=True, tensors=True
    )

    assert len(answer.projections) == len(records) == 4
    for index, (actual, record) in enumerate(zip(answer.projections, records, strict=True)):
        assert (actual.layer, actual.map, actual.y, actual.x) == tuple(
            record[n] for n in ("layer", "map", "y", "x")
        )
        assert_close(actual.activation, record["activation"])
        box = actual.receptive_field
        assert [box.x0, box.y0, box.x1, box.y1] == [record[side] for side in ("x0", "y0", "x1", "y1")]
        assert_close(actual.tensor, expected.tensors["projections"][index])
        assert_close(actual.control_tensor, expected.tensors["controls"][index])
        picture = expected.picture(record["picture"])
        assert actual.picture is not None
        assert picture is not None
        assert (actual.picture.name, actual.picture.scale) == (picture.name, picture.scale)


def test_by_default_nine_maps_of_conv5_are_drawn(client: Client, photo: bytes) -> None:
    answer = client.project(photo)

    assert [projection.layer for projection in answer.projections] == ["conv5"] * 9
    assert len({projection.map for projection in answer.projections}) == 9
    assert answer.sheet is not None
    assert answer.sheet.png.startswith(PNG)
    assert all(
        projection.picture is not None and projection.picture.png.startswith(PNG)
        for projection in answer.projections
    )
    assert all(
        projection.tensor is None and projection.control_tensor is None for projection in answer.projections
    )


def test_the_response_names_the_model_and_the_size_of_the_photo(client: Client, photo: bytes) -> None:
    answer = client.project(photo, top=1, version=1)

    assert (answer.model, answer.version, answer.photo_size) == ("tiny", 1, (48, 60))


def test_tensors_can_be_requested_without_pictures(client: Client, photo: bytes) -> None:
    answer = client.project(photo, top=2, pictures=False, tensors=True)

    assert answer.sheet is None
    assert all(projection.picture is None for projection in answer.projections)
    assert [
        projection.tensor.shape for projection in answer.projections if projection.tensor is not None
    ] == [(3, 32, 32)] * 2


def test_the_control_is_a_different_projection_of_the_same_unit(client: Client, photo: bytes) -> None:
    (projection,) = client.project(photo, top=1, control=True, tensors=True).projections

    assert projection.tensor is not None
    assert projection.control_tensor is not None
    assert projection.tensor.shape == projection.control_tensor.shape
    assert not np.allclose(projection.tensor, projection.control_tensor)


def test_units_are_returned_in_the_requested_order(client: Client, photo: bytes) -> None:
    units = [Unit(3, 1, 2), Unit(0, 6, 0), Unit(11)]

    answer = client.project(photo, units=units)

    assert [projection.map for projection in answer.projections] == [3, 0, 11]
    assert [(projection.y, projection.x) for projection in answer.projections[:2]] == [(1, 2), (6, 0)]


def test_a_unit_of_a_fully_connected_layer_has_no_row_and_column(client: Client, photo: bytes) -> None:
    (projection,) = client.project(photo, layer="fc6", units=[Unit(2)]).projections

    assert (projection.layer, projection.map, projection.y, projection.x) == ("fc6", 2, None, None)


def test_a_tensor_can_replace_the_photo(client: Client) -> None:
    pixels = np.random.default_rng(1).normal(0, 1, (3, 32, 32)).astype(np.float32)

    answer = client.project(pixels, top=1)

    assert answer.photo_size == (32, 32)
    assert len(answer.projections) == 1


@pytest.mark.parametrize(
    ("options", "error", "field", "message"),
    [
        ({"layer": "conv9"}, NotFound, "layer", "conv9.*conv1.*conv5.*fc6"),
        ({"top": 0}, InputError, "top", "0"),
        ({"top": -5}, InputError, "top", "-5"),
        ({"top": 13}, InputError, "top", "13.*12"),
        ({"top": 10**9}, InputError, "top", "1000000000.*12"),
        ({"top": 11}, TooMuchWork, "top", "11 units; allowed: at most 10 per request"),
        ({"units": [Unit(0)] * 11}, TooMuchWork, "units", "11 units; allowed: at most 10 per request"),
        (
            {"units": [Unit(0)], "top": 3},
            InputError,
            "top",
            "top is 3, but units are set too; set only one of them",
        ),
        ({"units": [Unit(0), Unit(12)]}, NotFound, "units[1].map", "12"),
        ({"units": [Unit(0, 7, 0)]}, NotFound, "units[0].y", "7"),
        ({"units": [Unit(0, 0, 7)]}, NotFound, "units[0].x", "7"),
        ({"units": [Unit(-1)]}, InputError, "units[0].map", "-1"),
        ({"units": [Unit(0, -1, 0)]}, InputError, "units[0].y", "-1"),
        ({"model": "huge"}, NotFound, "model", "model 'huge' not found; available: other, tiny"),
        ({"version": 7}, NotFound, "version", "model 'tiny' has no version 7; available: 1, 2"),
    ],
)
def test_errors_name_the_field_its_value_and_what_is_allowed(
    client: Client, photo: bytes, options: dict[str, Any], error: type[Exception], field: str, message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        client.project(photo, **options)

    assert caught.value.field == field
    assert client.project(photo, top=1).projections


@pytest.mark.parametrize("options", [{"units": [Unit(0, y=1)]}, {"units": [Unit(0, x=1)]}])
def test_a_unit_with_only_a_row_or_a_column_is_rejected(
    client: Client, photo: bytes, options: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=r"units\[0\]"):
        client.project(photo, **options)


@pytest.mark.parametrize("name", ["rank", "rule", "normalisation"])
def test_an_unknown_enum_value_is_rejected(name: str) -> None:
    with pytest.raises(InputError, match="value 9 is not valid") as caught:
        call_of(PROJECT, pb.ProjectRequest(**{name: 9}))

    assert caught.value.field == name


def test_unset_fields_get_the_defaults_of_the_analyzer() -> None:
    params = load_analyzers().analyzer("project").params
    assert params.model_validate(call_of(PROJECT, pb.ProjectRequest()).parameters) == params()
