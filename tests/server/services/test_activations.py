"""Activations over the wire, compared with the analyzer in process."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.calls import call_of
from tests.support.numeric import assert_close
from zfscope.analysis.contract import Context
from zfscope.analysis.registry import load_analyzers
from zfscope.answers import ACTIVATIONS
from zfscope.client import Box, Client
from zfscope.errors import InputError
from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.runtimes import create_runtime
from zfscope.store import ModelStore
from zfscope.v1 import analysis_pb2 as pb


def test_the_response_matches_the_analyzer_in_process(client: Client, photo: bytes, store: Path) -> None:
    model = ModelStore(store).load("tiny")
    analyzer = load_analyzers().analyzer("activations")
    box = Box(12, 9, 40, 33)
    params = analyzer.params(layer="conv5", top=4, rank="sum", box=vars(box))
    images = (prepare(decode(photo), model.preprocessing),)
    context = Context(model, create_runtime("torch", model), images, tensors=True)
    expected = analyzer.analyze(context, params)
    records = expected.tables["units"].records()

    answer = client.activations(photo, layer="conv5", top=4, rank="sum", box=box, tensors=True)

    assert (answer.model, answer.layer, answer.map_count, answer.photo_size) == (
        "tiny",
        "conv5",
        12,
        (48, 60),
    )
    assert len(answer.units) == len(records) == 4
    for unit, record in zip(answer.units, records, strict=True):
        assert [unit.map, unit.y, unit.x, unit.rank, unit.label] == [
            record[name] for name in ("map", "y", "x", "rank", "label")
        ]
        assert_close(unit.activation, record["activation"])
        assert_close(unit.total, record["total"])
        assert vars(unit.receptive_field) == {side: record[side] for side in ("x0", "y0", "x1", "y1")}
        assert unit.picture is not None
        assert unit.picture.name == record["picture"]
    assert_close(answer.maps, expected.tensors["maps"])
    assert answer.sheet is not None
    assert answer.sheet.name == "conv5-activations"


def test_pictures_and_tensors_are_sent_only_on_request(client: Client, photo: bytes) -> None:
    answer = client.activations(photo, y=20, x=30, pictures=False)
    assert answer.maps is None
    assert answer.sheet is None
    assert {unit.picture for unit in answer.units} == {None}
    assert len({(unit.y, unit.x) for unit in answer.units}) == 1


def test_units_of_a_fully_connected_layer_have_no_row_and_column(client: Client, photo: bytes) -> None:
    answer = client.activations(photo, layer="fc6", maps=[2, 0], tensors=True)
    assert [(unit.map, unit.y, unit.x, unit.picture) for unit in answer.units] == [
        (2, None, None, None),
        (0, None, None, None),
    ]
    assert answer.maps is not None
    np.testing.assert_array_equal(answer.maps, np.float32([unit.activation for unit in answer.units]))


def test_unset_fields_get_the_defaults_of_the_analyzer() -> None:
    params = load_analyzers().analyzer("activations").params
    request = pb.ActivationsRequest()
    assert params.model_validate(call_of(ACTIVATIONS, request).parameters) == params()


def test_a_place_at_the_edge_of_the_photo_is_a_place() -> None:
    """Zero is not the same as unset."""
    call = call_of(ACTIVATIONS, pb.ActivationsRequest(y=0, x=0))
    assert call.parameters == {"y": 0, "x": 0}


def test_an_unknown_rank_is_rejected() -> None:
    with pytest.raises(InputError, match="value 9 is not valid") as caught:
        call_of(ACTIVATIONS, pb.ActivationsRequest(rank=9))  # type: ignore[arg-type]
    assert caught.value.field == "rank"
