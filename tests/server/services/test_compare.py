"""CompareArchitectures over the wire, compared with the analyzer in process."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.calls import call_of
from zfscope.analysis.contract import Context
from zfscope.analysis.registry import load_analyzers
from zfscope.answers import ARCHITECTURES
from zfscope.client import Client
from zfscope.errors import InputError, NotFound, TooMuchWork, ZfscopeError
from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.runtimes import create_runtime
from zfscope.store import ModelStore
from zfscope.v1 import analysis_pb2 as pb

PNG = b"\x89PNG"
PAIR = ["tiny:1", "tiny:2"]


def test_the_response_matches_the_analyzer_in_process(client: Client, photo: bytes, store: Path) -> None:
    models = ModelStore(store)
    model = models.load("tiny", 1)
    analyzer = load_analyzers().analyzer("compare-architectures")
    images = (prepare(decode(photo), model.preprocessing),) * 2
    context = Context(model, create_runtime("torch", model), images, tensors=True, store=models)
    expected = analyzer.analyze(context, analyzer.params(others=("tiny:2",)))

    answer = client.compare_architectures(PAIR, [photo, photo], tensors=True)

    assert answer.table.columns == ("measure", "tiny 1", "tiny 2")
    for actual, row in zip(answer.table.rows, expected.tables["architectures"].rows, strict=True):
        assert actual[0] == row[0]
        assert actual[1:] == tuple(
            cell if isinstance(cell, str | None) else pytest.approx(cell, rel=1e-3) for cell in row[1:]
        )
    assert set(answer.tensors) == set(expected.tensors)
    assert "tiny-2-filters" in answer.tensors
    for name, tensor in expected.tensors.items():
        np.testing.assert_allclose(answer.tensors[name], tensor, rtol=1e-4, atol=1e-5, err_msg=name)
    assert answer.picture is not None
    assert answer.picture.png.startswith(PNG)


def test_the_request_names_the_index(client: Client, photo: bytes) -> None:
    with pytest.raises(NotFound, match="index 'nowhere' of model 'tiny' version 1 not found") as caught:
        client.compare_architectures(PAIR, [photo], index="nowhere")
    assert caught.value.field == "index"


def test_tensors_are_sent_only_on_request_and_the_picture_by_default(client: Client, photo: bytes) -> None:
    answer = client.compare_architectures(["tiny", "tiny:1"], [photo])
    assert answer.table.columns == ("measure", "tiny 2", "tiny 1")
    assert answer.picture is not None
    assert answer.tensors == {}
    assert client.compare_architectures(PAIR, [photo], pictures=False).picture is None


@pytest.mark.parametrize(
    ("models", "count", "error", "field", "message"),
    [
        ([], 1, InputError, "models", "number of models is 0; allowed: 2 to 8"),
        (["tiny"], 1, InputError, "models", "number of models is 1; allowed: 2 to 8"),
        (["tiny"] * 9, 1, InputError, "models", "number of models is 9; allowed: 2 to 8"),
        (["tiny", ""], 1, InputError, "models[1].name", r"models\[1\].name is empty"),
        (
            ["tiny", "tiny:0"],
            1,
            InputError,
            "models[1].version",
            r"models\[1\].version is 0; it must be at least 1",
        ),
        (["nobody", "tiny"], 1, NotFound, "model", "model 'nobody' not found"),
        (["tiny", "other", "nobody"], 1, NotFound, "models[2]", "model 'nobody' not found"),
        (["tiny", "tiny:7"], 1, NotFound, "models[1]", "model 'tiny' has no version 7"),
        (["tiny", "tiny:2"], 1, InputError, "models", "version 2 is named 2 times"),
        (["tiny", "tiny:x"], 1, InputError, "models[1]", "allowed: NAME and NAME:VERSION"),
        (PAIR, 0, InputError, "images", "0 photos; 'compare-architectures' takes 1 to 16"),
        (PAIR, 17, InputError, "images", "17 photos; 'compare-architectures' takes 1 to 16"),
    ],
)
def test_errors_name_the_field_its_value_and_what_is_allowed(
    client: Client,
    photo: bytes,
    models: list[str],
    count: int,
    error: type[ZfscopeError],
    field: str,
    message: str,
) -> None:
    with pytest.raises(error, match=message) as caught:
        client.compare_architectures(models, [photo] * count)
    assert caught.value.field == field


def test_requests_over_the_budget_are_rejected(settings: Any, make_service: Any, photo: bytes) -> None:
    service = make_service(settings.model_copy(update={"max_passes": 300}))
    service.warm_up()
    with (
        Client(service.address) as client,
        pytest.raises(TooMuchWork, match="allowed: at most 300 per request"),
    ):
        client.compare_architectures(PAIR, [photo] * 2)


def test_unset_versions_mean_the_newest() -> None:
    request = pb.CompareArchitecturesRequest(models=[pb.ModelRef(name="a"), pb.ModelRef(name="b", version=3)])
    call = call_of(ARCHITECTURES, request)
    assert (call.model, call.version, call.parameters) == (
        "a",
        None,
        {"others": ["b:3"], "index": ""},
    )
