"""Opaque models over the wire: descriptions, needs of analyzers, batches of several requests."""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from tests.server.conftest import RunningService
from tests.support.opaque_models import COLOURS, add_opaque_model, reference_scores
from zfscope.client import Client
from zfscope.errors import InputError
from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.server.settings import Settings

REASON = "model 'vit' version 1 is an opaque graph, not a list of layers (Concat '"
NEED_A_NETWORK = {"project", "evolve", "compare-architectures"}


@pytest.fixture
def client(
    tmp_path: Path,
    write_tiny: Callable[[Path, str, int], None],
    settings: Settings,
    make_service: Callable[[Settings], RunningService],
) -> Iterator[Client]:
    """Client of a service with the models `vit`, `int8-dynamic` and `tiny`."""
    write_tiny(tmp_path / "models", "tiny", 1)
    for name in ("vit", "int8-dynamic"):
        add_opaque_model(tmp_path / "models", name)
    service = make_service(settings.model_copy(update={"store": tmp_path / "models", "batch_delay_s": 0.05}))
    service.warm_up()
    with Client(service.address) as client:
        yield client


def test_analyzers_that_need_a_network_are_unavailable_with_the_reason(client: Client) -> None:
    infos = {info.name: info for info in client.analyzers("vit")}
    built_in = {name for name, info in infos.items() if info.distribution == "zfscope" and info.unavailable}
    assert built_in == NEED_A_NETWORK
    assert infos["project"].unavailable.startswith(f"'project' needs a network of layers to walk; {REASON}")
    assert infos["project"].needs == ("network",)
    assert infos["project"].cost is None
    assert infos["occlude"].needs == ("scores", "outputs")
    assert infos["occlude"].cost
    assert all(info.unavailable == "" for info in client.analyzers("tiny"))


def test_a_description_says_how_the_graph_runs(client: Client) -> None:
    vit, dynamic = client.model("vit"), client.model("int8-dynamic")
    assert vit.graph
    assert vit.graph.obstacle.startswith("Concat '")
    assert vit.graph.batches
    assert dynamic.graph
    assert not dynamic.graph.batches
    assert client.model("tiny").graph is None
    assert {layer.receptive_field_px for layer in vit.layers} == {None}


def test_a_projection_is_rejected_with_the_same_sentence(client: Client, photo: bytes) -> None:
    (reason,) = (info.unavailable for info in client.analyzers("vit") if info.name == "project")
    with pytest.raises(InputError) as error:
        client.project(photo, layer="head", model="vit")
    assert error.value.field == "model"
    assert str(error.value) == reason


@pytest.mark.parametrize("name", ["vit", "int8-dynamic"])
def test_concurrent_requests_get_the_scores_of_their_own_photos(
    client: Client, photos: list[bytes], name: str
) -> None:
    with ThreadPoolExecutor(len(photos)) as pool:
        answers = list(pool.map(lambda photo: client.classify(photo, model=name, top=5), photos))
    pixels = np.concatenate([prepare(decode(photo), COLOURS).pixels for photo in photos])
    expected = softmax(reference_scores(name, pixels), axis=1)
    for answer, probabilities in zip(answers, expected, strict=True):
        measured = {score.index: score.probability for score in answer.classes}
        assert [measured[index] for index in range(5)] == pytest.approx(probabilities, abs=1e-4)


@pytest.fixture
def photos() -> list[bytes]:
    """Six photos of random blobs."""
    files = []
    for seed in range(6):
        file = io.BytesIO()
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((48, 40)).save(file, "PNG")
        files.append(file.getvalue())
    return files
