"""Evolve over the wire, compared with the analyzer in process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.server.conftest import SPEC, run_service, write_random_model
from tests.support.calls import call_of
from tests.support.indexes import index_photos
from zfscope.analysis.contract import Context
from zfscope.analysis.registry import load_analyzers
from zfscope.answers import EVOLVE
from zfscope.client import Client
from zfscope.errors import InputError, NotFound, ZfscopeError
from zfscope.networks import build
from zfscope.runtimes import create_runtime
from zfscope.store import ModelStore
from zfscope.v1 import analysis_pb2 as pb

# A map of conv5 that is dead in the checkpoints of epochs 1 and 2.
DEAD = 3


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two models.

    `tiny` has checkpoints of epochs 1 and 2, and indexes of epoch 1 and of the model; `other` has neither.
    """
    store, folder = tmp_path_factory.mktemp("evolved"), tmp_path_factory.mktemp("checkpoints")
    files = {epoch: _checkpoint(folder / f"{epoch}", epoch) for epoch in (1, 2)}
    write_random_model(store, "tiny", 1, checkpoints=files)
    write_random_model(store, "other", 1)
    photos = tmp_path_factory.mktemp("photos")
    for number in range(12):
        noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((60, 48), Image.Resampling.BICUBIC).save(photos / f"{number:02}.png")
    models = ModelStore(store)
    index_photos(models.load("tiny"), photos, "photos", ["conv1", "conv5"])
    index_photos(models.load_checkpoint("tiny", 1), photos, "photos-epoch-001", ["conv1", "conv5"])
    return store


def _checkpoint(path: Path, epoch: int) -> Path:
    """Write the convolutions of an epoch to a file; return its path."""
    network = build(SPEC, generator=torch.Generator().manual_seed(40 + epoch)).requires_grad_(False)
    network.filters["conv5"].bias[DEAD] = -100
    save_file(
        {
            f"{name}.{part}": tensor.contiguous()
            for name, filters in network.filters.items()
            if name.startswith("conv")
            for part, tensor in filters.state_dict().items()
        },
        path,
    )
    return path


@pytest.fixture(scope="module")
def client(indexed: Path, settings: Any) -> Iterator[Client]:
    """A client of a service with the indexed store."""
    with run_service(settings.model_copy(update={"store": indexed})) as service:
        service.warm_up()
        with Client(service.address) as client:
            yield client


def test_the_response_matches_the_analyzer_in_process(client: Client, indexed: Path) -> None:
    models = ModelStore(indexed)
    model, analyzer = models.load("tiny"), load_analyzers().analyzer("evolve")
    context = Context(model, create_runtime("torch", model), (), tensors=True, store=models)
    expected = analyzer.analyze(context, analyzer.params(layer="conv5", maps=(7, DEAD, 1)))
    answer = client.evolve(model="tiny", layer="conv5", maps=[7, DEAD, 1], tensors=True)
    assert (answer.model, answer.version) == ("tiny", 1)
    assert [each.map for each in answer.maps] == [7, DEAD, 1]
    records = [(each.map, record) for each in answer.maps for record in each.records]
    for (map_index, record), row in zip(records, expected.tables["evolution"].records(), strict=True):
        assert (map_index, record.epoch, record.state) == (row["map"], row["epoch"], row["state"])
        assert (record.path, record.label, record.y, record.x) == (row["path"] or "", "", row["y"], row["x"])
        assert record.jumped == (None if row["jumped"] is None else bool(row["jumped"]))
        for name in ("value", "recomputed", "correlation"):
            number = row[name]
            assert getattr(record, name) == (None if number is None else pytest.approx(number, rel=1e-4))
    assert answer.maps[1].records[0].state == "dead"
    for epoch, row in zip(answer.settling, expected.tables["settling"].records(), strict=True):
        assert (epoch.epoch, epoch.maps) == (row["epoch"], row["maps"])
        assert (epoch.median, epoch.lower) == pytest.approx((row["median"], row["lower"]), rel=1e-4)
        assert epoch.upper == pytest.approx(row["upper"], rel=1e-4)
    for name in ("projections", "patches"):
        np.testing.assert_allclose(getattr(answer, name), expected.tensors[name], rtol=1e-4, atol=1e-5)
    assert answer.picture is not None
    assert (answer.picture.name, answer.picture.png[:4]) == ("evolution", b"\x89PNG")


def test_only_what_was_requested_is_sent(client: Client) -> None:
    answer = client.evolve(model="tiny", layer="conv5", count=2, settling=False, pictures=False)
    assert (answer.settling, answer.picture, answer.projections, answer.patches) == ((), None, None, None)
    assert {record.correlation for each in answer.maps for record in each.records} == {None}


@pytest.mark.parametrize(
    ("options", "error", "field", "message"),
    [
        ({"model": "other"}, NotFound, "model", "'other' version 1 has no checkpoints; .*: model 'tiny'"),
        ({"index": "val"}, NotFound, "index", "zfscope index DATA --model tiny --checkpoint 1"),
        ({"epochs": [1, 2]}, NotFound, "epochs", "zfscope index DATA --model tiny --checkpoint 2 --name "),
        ({"epochs": [9]}, NotFound, "epochs[0]", "has no checkpoint of epoch 9"),
        ({"layer": "fc6"}, InputError, "layer", "layer 'fc6' has no feature maps"),
        ({"layer": "conv9"}, NotFound, "layer", "layer 'conv9' not found; available: conv1"),
        ({"layer": "relu5"}, NotFound, "layer", "'relu5' is not in index 'photos'; available: conv1, conv5"),
        ({"maps": [0, 12]}, NotFound, "maps[1]", "no map 12 in layer 'conv5'; allowed: 0 to 11"),
        ({"maps": [2], "count": 3}, InputError, "count", "maps are set too; set only one of them"),
        ({"count": 33}, InputError, "count", "less than or equal to 32"),
        ({"count": "many"}, InputError, "count", "invalid value"),
    ],
)
def test_errors_name_the_field_its_value_and_what_is_allowed(
    client: Client, options: dict[str, Any], error: type[ZfscopeError], field: str, message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        client.evolve(**{"model": "tiny", "layer": "conv5", **options})
    assert caught.value.field == field


def test_unset_fields_are_not_passed_to_the_analyzer() -> None:
    assert call_of(EVOLVE, pb.EvolveRequest()).parameters == {}
    call = call_of(EVOLVE, pb.EvolveRequest(index="val", layer="conv2", first=0, settling=False, epochs=[1]))
    assert call.photos == {}
    assert call.parameters == {
        "index": "val",
        "layer": "conv2",
        "first": 0,
        "epochs": [1],
        "settling": False,
    }
