"""The file of an indexed photo is found by its hash, and returned only if it is unchanged."""

import hashlib
import shutil
import tarfile
from pathlib import Path

import pytest

from zfscope.errors import NotFound, TooLarge
from zfscope.runtimes import create_runtime
from zfscope.scan import Index, build_index, indexes_folder, open_data, plan_scan
from zfscope.scan.reload import read_indexed_file
from zfscope.store import Model

LIMIT = 1 << 20


def index_of(data: Path, model: Model) -> Index:
    """Index all photos of a data set; each is a record of some map."""
    plan, runtime = plan_scan(model.network.spec, ["conv1"], top=64), create_runtime("torch", model)
    return build_index(model, open_data(data), plan, indexes_folder(model) / "all", runtime=runtime)


@pytest.fixture
def photos(photos: Path, tmp_path: Path) -> Path:
    """A copy of the photos that a test may change."""
    return shutil.copytree(photos, tmp_path / "copy")


@pytest.fixture
def index(photos: Path, model: Model) -> Index:
    return index_of(photos, model)


def hash_of(file: Path) -> str:
    return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()


def test_a_file_is_found_by_its_hash_in_a_folder_and_in_a_tar(
    index: Index, photos: Path, model: Model, tmp_path: Path
) -> None:
    archive = tmp_path / "photos.tar"
    with tarfile.open(archive, "w") as packed:
        packed.add(photos, arcname=".")
    (indexes_folder(model) / "all").rename(tmp_path / "other")
    file = photos / "c" / "03.webp"
    for each in (index, index_of(archive, model)):
        record, data = read_indexed_file(each, hash_of(file), max_bytes=LIMIT)
        assert (record.path, data) == ("c/03.webp", file.read_bytes())


def test_of_equal_files_one_that_still_exists_is_returned(index: Index, photos: Path) -> None:
    twins = [photos / folder / "twin.png" for folder in "abc"]
    digest, expected = hash_of(twins[0]), twins[0].read_bytes()
    twins[0].unlink()
    twins[1].write_bytes(b"changed")
    record, data = read_indexed_file(index, digest, max_bytes=LIMIT)
    assert (record.path, data) == ("c/twin.png", expected)


def test_a_file_that_is_gone_or_has_changed_is_not_found(index: Index, photos: Path) -> None:
    gone, changed = photos / "a" / "01.png", photos / "a" / "02.png"
    hashes = [hash_of(gone), hash_of(changed)]
    gone.unlink()
    changed.write_bytes((photos / "a" / "03.png").read_bytes())
    for digest, message in zip(
        hashes,
        (
            r"photo 'a/01\.png' of index 'all': the file does not exist or cannot be read",
            r"photo 'a/02\.png' of index 'all': the file has changed since it was indexed",
        ),
        strict=True,
    ):
        with pytest.raises(NotFound, match=f"^{message}$") as caught:
            read_indexed_file(index, digest, max_bytes=LIMIT)
        assert caught.value.field == "blake2b"


def test_a_file_in_place_of_a_photo_is_not_disclosed(index: Index, photos: Path, tmp_path: Path) -> None:
    secret, photo = tmp_path / "secret", photos / "a" / "01.png"
    secret.write_text("secret")
    hashes = [hash_of(photo), hash_of(secret)]
    photo.unlink()
    photo.symlink_to(secret)
    for digest, message in zip(hashes, ("has changed", "records no photo with hash"), strict=True):
        with pytest.raises(NotFound, match=message):
            read_indexed_file(index, digest, max_bytes=LIMIT)


def test_a_photo_that_the_index_skipped_is_not_returned(index: Index, photos: Path) -> None:
    with pytest.raises(NotFound, match="index 'all' records no photo with hash"):
        read_indexed_file(index, hash_of(photos / "b" / "text.jpg"), max_bytes=LIMIT)


def test_a_file_over_the_limit_is_too_large(index: Index, photos: Path) -> None:
    file = photos / "a" / "01.png"
    size = file.stat().st_size
    assert read_indexed_file(index, hash_of(file), max_bytes=size)
    with pytest.raises(
        TooLarge, match=rf"^photo 'a/01\.png' has {size:,} bytes; allowed: at most {size - 1:,}$"
    ):
        read_indexed_file(index, hash_of(file), max_bytes=size - 1)
