"""Photos of an index over HTTP: read into the page's memory by their hash, and nothing else."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import write_tiny
from tests.page.conftest import photo_file
from tests.support.indexes import index_photos
from tests.support.page_server import Answer, PageClient, running_page
from zfscope.local import LocalClient
from zfscope.store import open_store

PATH = "v1/photos/indexed"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(4):
        (folder / "ant").mkdir(exist_ok=True)
        (folder / "ant" / f"{seed}.png").write_bytes(photo_file(seed))
    return folder


@pytest.fixture(scope="module")
def indexed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalClient]:
    """A client of a store with the index `all`."""
    store = tmp_path_factory.mktemp("store")
    write_tiny(store, 1)
    index_photos(open_store(store).load("tiny"), photos, "all", ["conv5"])
    with LocalClient(store) as client:
        yield client


@pytest.fixture
def page(indexed: LocalClient) -> Iterator[PageClient]:
    """A page that has no photo in memory."""
    with running_page(indexed) as served:
        yield served


def hash_of(file: Path) -> str:
    return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()


def read(page: PageClient, file: Path, **members: Any) -> Answer:
    return page.post(PATH, {"blake2b": hash_of(file), **members})


def test_a_photo_is_read_into_memory_by_what_top_k_returns(page: PageClient, photos: Path) -> None:
    answer = page.post("v1/top-k", {"layer": "conv5", "maps": [3], "pictures": False}).json
    (record, *_) = answer["maps"][0]["records"]
    data = (photos / record["path"]).read_bytes()
    members = {"blake2b": record["blake2b"], "index": answer["index"], "model": answer["model"]}
    info = page.post(PATH, {**members, "version": answer["version"]})
    digest = hashlib.sha256(data).hexdigest()
    described = {"photo": digest, "width": 48, "height": 40, "bytes": len(data)}
    assert info.json == {**described, "path": record["path"], "label": "ant"}
    returned = page.get(f"v1/photos/{digest}")
    assert (returned.body, returned.headers["content-type"]) == (data, "image/png")
    assert page.post("v1/classify", {"photo": digest}).status == 200


def test_a_photo_that_is_gone_or_has_changed_is_an_error(page: PageClient, photos: Path) -> None:
    file = photos / "ant" / "1.png"
    data, digest = file.read_bytes(), hash_of(file)
    try:
        for contents, reason in ((photo_file(9), "the file has changed"), (None, "the file does not exist")):
            if contents:
                file.write_bytes(contents)
            else:
                file.unlink()
            answer = page.post(PATH, {"blake2b": digest})
            assert (answer.status, answer.error["field"]) == (404, "blake2b")
            assert answer.error["message"].startswith(f"photo 'ant/1.png' of index 'all': {reason}")
    finally:
        file.write_bytes(data)


@pytest.mark.parametrize(
    ("members", "status", "field", "message"),
    [
        ({"blake2b": "../../etc/passwd"}, 400, "blake2b", "allowed: 32 hexadecimal digits"),
        ({"blake2b": 32 * "0"}, 404, "blake2b", "index 'all' records no photo with hash 0000"),
        ({"index": "other"}, 404, "index", "index 'other' of model 'tiny' version 1 not found"),
        ({"path": "ant/1.png"}, 400, "path", "path is not known"),
        ({"blake2b": None}, 400, "blake2b", "blake2b"),
        ({"model": "nobody"}, 404, "model", "model 'nobody' not found"),
    ],
)
def test_errors_name_the_member(
    page: PageClient, photos: Path, members: dict[str, Any], status: int, field: str, message: str
) -> None:
    answer = read(page, photos / "ant" / "0.png", **members)
    assert (answer.status, answer.error["field"]) == (status, field)
    assert message in answer.error["message"]


def test_the_operator_of_a_page_can_turn_it_off(indexed: LocalClient, photos: Path) -> None:
    with running_page(indexed, indexed_photos=False) as page:
        answer = read(page, photos / "ant" / "0.png")
        assert (answer.status, answer.error["reason"]) == (403, "FORBIDDEN")
        assert "indexed_photos" in answer.error["message"]
        assert len(page.server.state.photos) == 0
