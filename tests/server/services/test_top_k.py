"""TopK over the wire, compared with the analyzer in process."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.server.conftest import run_service, write_random_model
from tests.support.calls import call_of
from tests.support.indexes import index_photos
from zfscope.analysis.contract import Context
from zfscope.analysis.registry import load_analyzers
from zfscope.answers import TOP_K
from zfscope.client import Box, Client
from zfscope.errors import DamagedIndex, InputError, NotFound, TooMuchWork, ZfscopeError
from zfscope.runtimes import create_runtime
from zfscope.store import ModelStore
from zfscope.v1 import analysis_pb2 as pb

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty photos in two folders."""
    root = tmp_path_factory.mktemp("photos")
    for number in range(20):
        noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        folder = root / ("ant" if number < 12 else "bee")
        folder.mkdir(exist_ok=True)
        Image.fromarray(noise).resize((60, 48), Image.Resampling.BICUBIC).save(folder / f"{number:02}.png")
    return root


@pytest.fixture(scope="module")
def indexed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of models with indexes.

    `tiny` 1 has the index `photos`, of which one photo is missing and one has changed; `tiny` 2 has two
    indexes; `damaged` 1 has a damaged index; `other` 1 has none.
    """
    store = tmp_path_factory.mktemp("indexed")
    for name, version in (("tiny", 1), ("tiny", 2), ("other", 1), ("damaged", 1)):
        write_random_model(store, name, version)
    models = ModelStore(store)
    index_photos(models.load("tiny", 1), photos, "photos", ["conv1", "conv5", "fc6"], top=8)
    for name in ("a", "b"):
        index_photos(models.load("tiny", 2), photos / "ant", name, ["conv1", "conv5", "fc6"], top=8)
    index_photos(models.load("damaged", 1), photos / "ant", "damaged", ["conv1", "conv5", "fc6"], top=8)
    (models.folder("damaged") / "indexes" / "damaged" / "maps.parquet").write_bytes(b"")
    (photos / "ant" / "03.png").unlink()
    (photos / "bee" / "14.png").write_bytes((photos / "bee" / "15.png").read_bytes())
    return store


@pytest.fixture(scope="module")
def client(indexed: Path, settings: Any) -> Iterator[Client]:
    """A client of a service with the indexed store."""
    with run_service(settings.model_copy(update={"store": indexed})) as service:
        service.warm_up()
        with Client(service.address) as client:
            yield client


def in_process(store: Path, **params: Any) -> Any:
    """Run the analyzer on `tiny` 1 in this process."""
    models = ModelStore(store)
    model = models.load("tiny", 1)
    analyzer = load_analyzers().analyzer("top-k")
    context = Context(model, create_runtime("torch", model), (), tensors=True, store=models)
    return analyzer.analyze(context, analyzer.params(**params))


@pytest.mark.parametrize("layer", ["conv5", "fc6"])
def test_the_response_matches_the_analyzer_in_process(client: Client, indexed: Path, layer: str) -> None:
    expected = in_process(indexed, layer=layer, count=4, first=0, top=8, control=True)
    answer = client.top_k(version=1, layer=layer, count=4, first=0, top=8, control=True, tensors=True)

    assert (answer.model, answer.version) == ("tiny", 1)
    maps = expected.tables["maps"].records()
    assert [(m.map, m.alive, m.images, m.dead) for m in answer.maps] == [
        (m["map"], m["alive"], m["images"], bool(m["dead"])) for m in maps
    ]
    actual = [(each.map, record) for each in answer.maps for record in each.records]
    for (map_index, record), row in zip(actual, expected.tables["records"].records(), strict=True):
        identity = (row["map"], row["rank"], row["path"], row["state"])
        assert (map_index, record.rank, record.path, record.state) == identity
        assert (record.label, record.y, record.x) == (row["class"], row["y"], row["x"])
        box = None if row["x0"] is None else Box(row["x0"], row["y0"], row["x1"], row["y1"])
        assert record.patch == box
        for name, column in (
            ("value", "value"),
            ("recomputed", "recomputed"),
            ("control_ssim", "ssim"),
            ("control_rank_correlation", "rank_correlation"),
        ):
            number = row[column]
            assert getattr(record, name) == (None if number is None else pytest.approx(number, rel=1e-3))
    for name in ("projections", "patches", "controls"):
        np.testing.assert_allclose(
            getattr(answer, name), expected.tensors[name], rtol=1e-4, atol=1e-5, err_msg=name
        )
    assert answer.picture is not None
    assert answer.picture.png.startswith(PNG)
    assert answer.picture.name == "top-k"


def test_missing_and_changed_photos_are_reported(client: Client) -> None:
    answer = client.top_k(version=1, count=12, tensors=True)
    states = {record.path: record.state for each in answer.maps for record in each.records}
    assert states["ant/03.png"] == "gone"
    assert states["bee/14.png"] == "changed"
    assert answer.projections is not None
    for index, each in enumerate(answer.maps):
        for record in each.records:
            empty = record.state in ("gone", "changed", "silent")
            assert (record.recomputed is None, record.patch is None) == (empty, empty)
            assert bool(answer.projections[index, record.rank].any()) is not empty


def test_pages_contain_every_map_once(client: Client) -> None:
    pages = [client.top_k(version=1, count=5, first=first, top=1, pictures=False) for first in (0, 5, 10)]
    assert sorted(each.map for page in pages for each in page.maps) == list(range(12))


def test_tensors_are_sent_only_on_request_and_the_picture_by_default(client: Client) -> None:
    answer = client.top_k(version=1, maps=[3], top=2)
    assert answer.picture is not None
    assert (answer.projections, answer.patches, answer.controls) == (None, None, None)
    assert len(answer.maps[0].records) == 2
    answer = client.top_k(version=1, maps=[3], top=2, pictures=False, tensors=True)
    assert answer.picture is None
    assert answer.patches is not None
    assert answer.patches.shape == (1, 2, 17, 17, 3)
    assert answer.controls is None


def test_analyze_returns_the_same_maps_and_reports_progress(client: Client) -> None:
    fractions: list[float] = []
    result = client.analyze(
        "top-k", [], {"maps": [1, 2]}, version=1, progress=lambda report: fractions.append(report.fraction)
    )
    assert [row["map"] for row in result.analysis.tables["maps"].records()] == [1, 2]
    assert fractions == sorted(fractions)


@pytest.mark.parametrize(
    ("options", "error", "field", "message"),
    [
        ({"model": "nobody"}, NotFound, "model", "model 'nobody' not found"),
        ({"model": "other"}, NotFound, "index", "model 'other' version 1 has no index; .* zfscope index"),
        ({"version": 2}, InputError, "index", "has several indexes; name one of a, b"),
        (
            {"index": "../photos"},
            NotFound,
            "index",
            r"index '\.\./photos' of model 'tiny' version 1 not found",
        ),
        ({"layer": "conv9"}, NotFound, "layer", "layer 'conv9' not found; available: conv1"),
        (
            {"layer": "relu5"},
            NotFound,
            "layer",
            "'relu5' is not in index 'photos'; available: conv1, conv5, fc6",
        ),
        ({"maps": [0, 12]}, NotFound, "maps[1]", "no map 12 in layer 'conv5'; allowed: 0 to 11"),
        ({"maps": [-1]}, InputError, "maps[0]", "greater than or equal to 0"),
        ({"maps": [2, 2]}, InputError, "maps", "'2' is named more than once"),
        ({"maps": [2], "count": 3}, InputError, "count", "maps are set too; set only one of them"),
        ({"maps": [2], "first": 3}, InputError, "first", "maps are set too; set only one of them"),
        ({"count": 0}, InputError, "count", "greater than or equal to 1"),
        ({"count": 65}, InputError, "count", "less than or equal to 64"),
        ({"first": 12}, InputError, "first", r"first is 12; allowed: 0 to 11 \(layer 'conv5' has 12 maps\)"),
        ({"top": 9}, InputError, "top", r"top is 9; allowed: 1 to 8 \(index 'photos' has 8 photos per map\)"),
        ({"top": 10}, InputError, "top", "less than or equal to 9"),
        ({"control_down_to": "fc6"}, InputError, "control_down_to", "comes after 'conv5'"),
        ({"count": "many"}, InputError, "count", "invalid value"),
    ],
)
def test_errors_name_the_field_its_value_and_what_is_allowed(
    client: Client, options: dict[str, Any], error: type[ZfscopeError], field: str, message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        client.top_k(**{"version": 1, **options})
    assert caught.value.field == field


def test_in_analyze_the_error_names_the_parameter(client: Client) -> None:
    with pytest.raises(InputError) as caught:
        client.analyze("top-k", [], {"first": 12}, version=1)
    assert caught.value.field == "parameters.first"


def test_photos_in_the_request_are_rejected(client: Client, photo: bytes) -> None:
    with pytest.raises(InputError, match="1 photo; 'top-k' takes 0"):
        client.analyze("top-k", [photo], version=1)


def test_requests_over_the_budget_are_rejected(
    indexed: Path, settings: Any, make_service: Callable[..., Any]
) -> None:
    service = make_service(settings.model_copy(update={"store": indexed, "max_passes": 300}))
    service.warm_up()
    with Client(service.address) as client, pytest.raises(TooMuchWork, match="allowed: at most 300"):
        client.top_k(version=1, count=9, control=True)


def test_unset_fields_are_not_passed_to_the_analyzer() -> None:
    assert call_of(TOP_K, pb.TopKRequest()).parameters == {}
    call = call_of(TOP_K, pb.TopKRequest(index="val", layer="conv2", count=3, first=0, top=1))
    assert call.photos == {}
    assert call.parameters == {
        "index": "val",
        "layer": "conv2",
        "count": 3,
        "first": 0,
        "top": 1,
    }


def test_a_damaged_index_raises_damaged_index(client: Client) -> None:
    message = r"^index 'damaged': 'maps.parquet' does not match the manifest; remove '.*' and build it again"
    with pytest.raises(DamagedIndex, match=message):
        client.top_k(model="damaged", index="damaged", layer="conv1")
