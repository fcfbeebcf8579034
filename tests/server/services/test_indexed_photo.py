"""GetIndexedPhoto: files of indexed photos over the wire, whole and in parts, and what is rejected."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from tests.server.conftest import CallError, RunningService, run_service, write_random_model
from tests.support.indexes import index_photos
from zfscope.client import Client
from zfscope.errors import DamagedIndex, Forbidden, InputError, NotFound, TooLarge, ZfscopeError
from zfscope.local import LocalClient
from zfscope.store import ModelStore
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub

TINY: Any = {"model": "tiny", "version": 1}
# Bytes per message that a gRPC client receives without further configuration.
STOCK_LIMIT = 4 << 20


def write_photo(path: Path, seed: int, size: tuple[int, int] = (60, 48)) -> str:
    """Write a photo of noise, which does not compress; return its hash."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=0)
    return hash_of(path)


def hash_of(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos, one of them of 20 MB; an index records all."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(5):
        write_photo(folder / "ant" / f"{number}.png", number)
    write_photo(folder / "large.png", 9, (2600, 2600))
    return folder


@pytest.fixture(scope="module")
def indexed(photos: Path, settings: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store. `tiny` 1 has the index `all`, `tiny` 2 has two; `damaged` has a damaged one, `other` none."""
    store = tmp_path_factory.mktemp("indexed")
    for name, version in (("tiny", 1), ("tiny", 2), ("damaged", 1), ("other", 1)):
        write_random_model(store, name, version)
    models = ModelStore(store)
    index_photos(models.load("tiny", 1), photos, "all", ["conv1"])
    for name in ("a", "b"):
        index_photos(models.load("tiny", 2), photos / "ant", name, ["conv1"])
    index_photos(models.load("damaged", 1), photos / "ant", "all", ["conv1"])
    (models.folder("damaged") / "indexes" / "all" / "records.parquet").write_bytes(b"")
    return store


@pytest.fixture(scope="module")
def service(indexed: Path, settings: Any) -> Iterator[RunningService]:
    with run_service(settings.model_copy(update={"store": indexed})) as service:
        service.warm_up()
        yield service


@pytest.fixture
def client(service: RunningService) -> Iterator[Client]:
    with Client(service.address) as client:
        yield client


def test_top_k_names_what_the_photo_is_requested_by(client: Client, photos: Path) -> None:
    answer = client.top_k(**TINY, layer="conv1", count=1, pictures=False)
    assert answer.index == "all"
    for record in answer.maps[0].records:
        photo = client.indexed_photo(record.blake2b, index=answer.index, **TINY)
        assert (photo.path, photo.label) == (record.path, record.label)
        assert photo.data == (photos / record.path).read_bytes()
        assert (photo.model, photo.version, photo.index) == ("tiny", 1, "all")
        assert photo.blake2b == record.blake2b


def test_a_client_receives_a_large_photo_whole(client: Client, photos: Path) -> None:
    expected = (photos / "large.png").read_bytes()
    assert len(expected) > 20_000_000
    assert client.indexed_photo(hash_of(photos / "large.png"), **TINY).data == expected


def test_a_stock_client_receives_a_large_photo_in_parts(service: RunningService, photos: Path) -> None:
    request = pb.GetIndexedPhotoRequest(model="tiny", version=1, blake2b=hash_of(photos / "large.png"))
    with grpc.insecure_channel(service.address) as channel:
        stub = AnalysisServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetIndexedPhoto(request)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        request.max_bytes, received, size = 4_000_000, b"", 1
        while len(received) < size:
            request.offset = len(received)
            part = stub.GetIndexedPhoto(request)
            assert part.ByteSize() < STOCK_LIMIT
            received, size = received + part.data, part.size
    assert received == (photos / "large.png").read_bytes()


def test_a_photo_is_returned_without_loading_the_model(
    indexed: Path, settings: Any, photos: Path, make_service: Callable[..., RunningService]
) -> None:
    service = make_service(settings.model_copy(update={"store": indexed, "default_model": "other"}))
    service.warm_up()
    with Client(service.address) as client:
        assert client.indexed_photo(hash_of(photos / "ant" / "1.png"), **TINY).path == "ant/1.png"
    assert service.service._backend.models.get_cached("tiny", 1) is None


@pytest.mark.parametrize(
    ("options", "error", "field", "message"),
    [
        ({"blake2b": "../ant/1.png"}, InputError, "blake2b", r"'\.\./ant/1\.png'; allowed: 32 hexadecimal"),
        ({"blake2b": ""}, InputError, "blake2b", "blake2b is ''; allowed: 32 hexadecimal digits"),
        ({"blake2b": 32 * "A"}, InputError, "blake2b", "allowed: 32 hexadecimal digits"),
        ({"blake2b": 32 * "0"}, NotFound, "blake2b", "index 'all' records no photo with hash 0000"),
        ({"model": "nobody"}, NotFound, "model", "model 'nobody' not found"),
        ({"version": 7}, NotFound, "version", "has no version 7; available: 1, 2"),
        ({"index": "../all"}, NotFound, "index", r"index '\.\./all' of model 'tiny' version 1 not found"),
        ({"version": 2}, InputError, "index", "has several indexes; name one of a, b"),
        ({"model": "other"}, NotFound, "index", "model 'other' version 1 has no index"),
        ({"model": "damaged", "index": "all"}, DamagedIndex, "", "'records.parquet' does not match"),
    ],
)
def test_errors_of_every_client_name_the_field(
    client: Client,
    indexed: Path,
    photos: Path,
    options: dict[str, Any],
    error: type[ZfscopeError],
    field: str,
    message: str,
) -> None:
    known = {**TINY, "blake2b": hash_of(photos / "ant" / "1.png"), **options}
    with LocalClient(indexed) as local:
        for each in (client, local):
            with pytest.raises(error, match=message) as caught:
                each.indexed_photo(**known)
            assert caught.value.field == field


@pytest.mark.parametrize(
    ("part", "field", "message"),
    [
        ({"offset": -1}, "offset", "offset is -1; allowed: 0 to "),
        ({"offset": 1 << 40}, "offset", "offset is 1099511627776; allowed: 0 to "),
        ({"max_bytes": -5}, "max_bytes", "max_bytes is -5; allowed: 0 and more"),
    ],
)
def test_a_part_must_lie_in_the_file(
    service: RunningService,
    photos: Path,
    call_error: Callable[..., CallError],
    part: dict[str, int],
    field: str,
    message: str,
) -> None:
    digest = hash_of(photos / "ant" / "1.png")
    with grpc.insecure_channel(service.address) as channel:
        stub = AnalysisServiceStub(channel)
        error = call_error(
            stub.GetIndexedPhoto, pb.GetIndexedPhotoRequest(model="tiny", version=1, blake2b=digest, **part)
        )
        size = (photos / "ant" / "1.png").stat().st_size
        end = stub.GetIndexedPhoto(
            pb.GetIndexedPhotoRequest(model="tiny", version=1, blake2b=digest, offset=size)
        )
    assert (error.code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert message in error.message
    assert (end.data, end.size) == (b"", size)


def test_photos_over_the_services_limit_are_not_returned(
    indexed: Path, settings: Any, photos: Path, make_service: Callable[..., RunningService]
) -> None:
    service = make_service(settings.model_copy(update={"store": indexed, "max_image_bytes": 1_000_000}))
    service.warm_up()
    with Client(service.address) as client:
        with pytest.raises(TooLarge, match=r"photo 'large\.png' has 20,.* bytes; allowed: at most 1,000,000"):
            client.indexed_photo(hash_of(photos / "large.png"), **TINY)
        assert client.indexed_photo(hash_of(photos / "ant" / "1.png"), **TINY)


def test_an_operator_can_turn_it_off(
    indexed: Path, settings: Any, photos: Path, make_service: Callable[..., RunningService]
) -> None:
    service = make_service(settings.model_copy(update={"store": indexed, "indexed_photos": False}))
    service.warm_up()
    with Client(service.address) as client:
        with pytest.raises(Forbidden, match="this service does not return the files of indexed photos"):
            client.indexed_photo(hash_of(photos / "ant" / "1.png"), **TINY)
        assert client.top_k(**TINY, layer="conv1", count=1, pictures=False).maps


def test_a_photo_that_was_deleted_is_not_found(client: Client, photos: Path) -> None:
    file = photos / "ant" / "4.png"
    data, digest = file.read_bytes(), hash_of(file)
    file.unlink()
    try:
        with pytest.raises(NotFound, match=r"photo 'ant/4\.png' of index 'all': the file does not exist"):
            client.indexed_photo(digest, **TINY)
    finally:
        file.write_bytes(data)
    assert client.indexed_photo(digest, **TINY).data == data
