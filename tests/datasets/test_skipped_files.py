"""Skipped files are counted by kind, with the first names and advice."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets.conftest import JPEG, JPEG_XL, PNG, counts_by_kind, encoded, pack_if_tar, write_files
from zfscope.datasets import open_data
from zfscope.datasets.skipped_files import describe_skipped
from zfscope.errors import InputError
from zfscope.gallery.inspect import encode
from zfscope.images.curves import plot_history
from zfscope.images.formats import photo_suffixes, readable_formats
from zfscope.images.render import Rendering


@pytest.mark.parametrize(
    "name",
    [
        ".ipynb_checkpoints/a.jpg",
        ".Trash-1000/files/a.jpg",
        "cat/.hidden/deep/a.jpg",
        "cat/._a.jpg",
        "cat/Thumbs.db",
        "desktop.ini",
        ".DS_Store",
    ],
)
@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_hidden_files_and_folders_are_skipped_and_never_a_class(tmp_path: Path, name: str, kind: str) -> None:
    path = write_files(tmp_path / "data", **{"cat/a.jpg": JPEG, "dog/b.jpg": JPEG, name: JPEG})
    data = open_data(pack_if_tar(kind, path, "data"))
    assert [photo.removeprefix("data/") for photo in data.names] == ["cat/a.jpg", "dog/b.jpg"]
    assert data.classes == ("cat", "dog")
    assert set(counts_by_kind(data)) == {"hidden"}


@pytest.mark.parametrize(
    "name",
    [
        "__MACOSX",
        "@eaDir",
        "#recycle",
        "@Recycle",
        "#snapshot",
        "__pycache__",
        "RECYCLER",
        "$RECYCLE.BIN",
        "System Volume Information",
        "_gsdata_",
        "lost+found",
        "found.000",
        "LOST.DIR",
    ],
)
@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_system_folders_are_skipped_by_name_and_never_a_class(tmp_path: Path, name: str, kind: str) -> None:
    more = {f"{name}/a.jpg": JPEG, f"{name}/cat/b.jpg": JPEG, f"cat/{name}/c.jpg": JPEG}
    path = write_files(tmp_path / "data", **{"cat/a.jpg": JPEG, "recycler/b.jpg": JPEG, **more})
    data = open_data(pack_if_tar(kind, path))
    assert (list(data.names), data.classes) == (["cat/a.jpg", "recycler/b.jpg"], ("cat", "recycler"))
    (skipped,) = data.skipped_files
    assert (skipped.kind, skipped.count, skipped.examples) == (
        "system",
        2,
        tuple(sorted([name, f"cat/{name}"])),
    )
    assert describe_skipped(data.skipped_files).startswith("2 system folders (")


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
OWN_IMAGES = {
    "projection": Rendering(np.zeros((9, 9, 3), np.uint8), "église 教会").png(),
    "curves": plot_history([{"epoch": 0, "train_loss": 1.0}, {"epoch": 1, "train_loss": 0.5}]),
    "gallery": encode(Image.fromarray(np.zeros((224, 224, 3), np.uint8)), 13),
}


@pytest.mark.parametrize("name", ["a.png", "cat/a.PNG", "a"])
@pytest.mark.parametrize("image", OWN_IMAGES)
@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_images_created_by_zfscope_are_skipped_unless_listed_by_name(
    tmp_path: Path, name: str, image: str, kind: str
) -> None:
    path = write_files(tmp_path / "data", **{"cat/b.jpg": JPEG, "cat/c.png": PNG, name: OWN_IMAGES[image]})
    (tmp_path / "data" / "list.txt").write_text(f"cat/b.jpg\n{name}\n")
    assert len(open_data(path / "list.txt")) == 2
    (tmp_path / "data" / "list.txt").unlink()
    data = open_data(pack_if_tar(kind, path))
    assert list(data.names) == ["cat/b.jpg", "cat/c.png"]
    assert describe_skipped(data.skipped_files) == (
        f"1 image created by zfscope ('{name}': to use them, pass them by name or list them in a text file)"
    )


@pytest.mark.parametrize("marks", [("gallery.json", "index.html"), (".unfinished/started.json",)])
def test_a_gallery_is_skipped_as_a_whole(tmp_path: Path, marks: tuple[str, ...]) -> None:
    gallery = {f"conv5/{name}": b"{}" for name in marks} | {"conv5/conv5/1-patches.jpg": JPEG}
    data = open_data(write_files(tmp_path, **{"cat/a.jpg": JPEG, **gallery}))
    assert (list(data.names), data.classes) == (["cat/a.jpg"], ("cat",))
    assert describe_skipped(data.skipped_files) == "1 gallery created by zfscope ('conv5')"


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.txt", b"a text", "other"),
        ("a", b"", "other"),
        ("a.list", b"BMW 320\nBMW 520 with more text behind it", "other"),
        ("a.jxl", JPEG_XL, "JPEG XL"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        ("a.svg", b"<?xml version='1.0'?>\n<svg xmlns=''/>", "SVG"),
        ("a.NEF", encoded("TIFF"), "camera raw"),
        ("a.pdf", b"%PDF-1.7", "other"),
    ],
)
def test_other_files_are_counted_by_format(tmp_path: Path, name: str, data: bytes, kind: str) -> None:
    assert counts_by_kind(open_data(write_files(tmp_path, **{"b.jpg": JPEG, name: data}))) == {kind: 1}


@pytest.mark.parametrize(
    "name", ["a.JPEG~", "a.jpg.~1~", "a.JPEG.bak", "a.jpg.ORIG", "#a.jpg#", "a.jpg.swp", "a\nb.jpg.old"]
)
@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_backups_of_photos_are_skipped_and_counted(tmp_path: Path, name: str, kind: str) -> None:
    files = {
        "cat/a.jpg": JPEG,
        f"cat/{name}": JPEG,
        "dog/b~1.jpg": JPEG,
        "dog/#1.jpg": JPEG,
        "dog/x~": b"text",
    }
    path = write_files(tmp_path / "data", **files)
    data = open_data(pack_if_tar(kind, path))
    assert list(data.names) == ["cat/a.jpg", "dog/#1.jpg", "dog/b~1.jpg"]
    assert counts_by_kind(data) == {"backup": 1, "other": 1}
    assert "1 backup of a photo ('cat/" in describe_skipped(data.skipped_files)


@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "a"])
def test_heic_files_are_skipped_with_the_extra_to_install_if_it_is_missing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zfscope.images.formats.importlib.util.find_spec", lambda name: None)
    for cached in (readable_formats, photo_suffixes):
        cached.cache_clear()
    try:
        (skipped,) = open_data(write_files(tmp_path, **{"b.jpg": JPEG, name: HEIC})).skipped_files
    finally:
        for cached in (readable_formats, photo_suffixes):
            cached.cache_clear()
    assert (skipped.kind, skipped.count) == ("HEIC", 1)
    assert skipped.advice == "install zfscope[heic] where photos are decoded, or convert to JPEG"


def test_a_folder_without_photos_is_rejected_with_counts_and_advice_on_its_files(tmp_path: Path) -> None:
    write_files(tmp_path, **{"a.jxl": JPEG_XL, "b.jxl": JPEG_XL, "notes.txt": b"x"})
    message = r"no photos \(.*\); skipped: 2 JPEG XL files \('a.jxl', 'b.jxl': convert to JPEG or PNG\)"
    with pytest.raises(InputError, match=message) as caught:
        open_data(tmp_path)
    assert caught.value.message.endswith("1 file that is not an image (.txt)")
    assert caught.value.field == "data"


def test_the_first_names_do_not_depend_on_the_order_of_creation(tmp_path: Path) -> None:
    write_files(tmp_path, **{"a.png": PNG})
    for name in ("z", "m", "b", "q"):
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
    assert describe_skipped(open_data(tmp_path).skipped_files) == "4 dangling links ('b', 'm', 'q', ...)"


def test_control_characters_in_names_are_escaped(tmp_path: Path) -> None:
    write_files(tmp_path, **{"a.png": PNG})
    (tmp_path / "a\n\x1b[31m.png").symlink_to(tmp_path / "nowhere")
    assert describe_skipped(open_data(tmp_path).skipped_files) == r"1 dangling link ('a\n\x1b[31m.png')"
