"""Folders as people have them: litter, links, files without a suffix, and what cannot be read."""

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zfscope.datasets import DataSet, folder, open_data
from zfscope.datasets.dataset import NO_STAMP, file_stamp
from zfscope.datasets.first_bytes import skip_reason
from zfscope.datasets.names import similar_classes
from zfscope.datasets.skipped_files import describe_skipped
from zfscope.errors import InputError
from zfscope.gallery.inspect import encode
from zfscope.images.curves import plot_history
from zfscope.images.formats import photo_suffixes, readable_formats
from zfscope.images.render import Rendering


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(file, kind)
    return file.getvalue()


JPEG, PNG = encoded("JPEG"), encoded("PNG")
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
JPEG_XL = b"\0\0\0\x0cJXL \r\n\x87\n"


def write(root: Path, **files: bytes) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def counts(data: DataSet) -> dict[str, int]:
    return {passed.kind: passed.count for passed in data.skipped_files}


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
def test_what_file_managers_leave_is_hidden_and_never_a_class(tmp_path: Path, name: str, kind: str) -> None:
    root = write(tmp_path / "data", **{"cat/a.jpg": JPEG, "dog/b.jpg": JPEG, name: JPEG})
    path = root
    if kind == "tar":
        path = tmp_path / "data.tar"
        with tarfile.open(path, "w") as packed:
            packed.add(root, "data")
    data = open_data(path)
    assert [each.removeprefix("data/") for each in data.names] == ["cat/a.jpg", "dog/b.jpg"]
    assert data.classes == ("cat", "dog")
    assert set(counts(data)) == {"hidden"}


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
def test_folders_of_systems_are_named_and_never_a_class(tmp_path: Path, name: str, kind: str) -> None:
    more = {f"{name}/a.jpg": JPEG, f"{name}/cat/b.jpg": JPEG, f"cat/{name}/c.jpg": JPEG}
    path = write(tmp_path / "data", **{"cat/a.jpg": JPEG, "recycler/b.jpg": JPEG, **more})
    if kind == "tar":
        path = tmp_path / "data.tar"
        with tarfile.open(path, "w") as packed:
            packed.add(tmp_path / "data", ".")
    data = open_data(path)
    assert (list(data.names), data.classes) == (["cat/a.jpg", "recycler/b.jpg"], ("cat", "recycler"))
    (passed,) = data.skipped_files
    assert (passed.kind, passed.count, passed.examples) == ("system", 2, tuple(sorted([name, f"cat/{name}"])))
    assert describe_skipped(data.skipped_files).startswith("2 system folders (")


OWN_PICTURES = {
    "projection": Rendering(np.zeros((9, 9, 3), np.uint8), "église 教会").png(),
    "curves": plot_history([{"epoch": 0, "train_loss": 1.0}, {"epoch": 1, "train_loss": 0.5}]),
    "gallery": encode(Image.fromarray(np.zeros((224, 224, 3), np.uint8)), 13),
}


@pytest.mark.parametrize("name", ["a.png", "cat/a.PNG", "a"])
@pytest.mark.parametrize("picture", OWN_PICTURES)
@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_pictures_of_zfscope_are_no_photos_unless_they_are_named(
    tmp_path: Path, name: str, picture: str, kind: str
) -> None:
    path = write(tmp_path / "data", **{"cat/b.jpg": JPEG, "cat/c.png": PNG, name: OWN_PICTURES[picture]})
    (tmp_path / "data" / "list.txt").write_text(f"cat/b.jpg\n{name}\n")
    assert len(open_data(path / "list.txt")) == 2
    (tmp_path / "data" / "list.txt").unlink()
    if kind == "tar":
        path = tmp_path / "data.tar"
        with tarfile.open(path, "w") as packed:
            packed.add(tmp_path / "data", ".")
    data = open_data(path)
    assert list(data.names) == ["cat/b.jpg", "cat/c.png"]
    assert describe_skipped(data.skipped_files) == (
        f"1 image created by zfscope ('{name}': to use them, pass them by name or list them in a text file)"
    )


@pytest.mark.parametrize("marks", [("gallery.json", "index.html"), (".unfinished/started.json",)])
def test_a_gallery_is_passed_over_whole(tmp_path: Path, marks: tuple[str, ...]) -> None:
    made = {f"conv5/{name}": b"{}" for name in marks} | {"conv5/conv5/1-patches.jpg": JPEG}
    data = open_data(write(tmp_path, **{"cat/a.jpg": JPEG, **made}))
    assert (list(data.names), data.classes) == (["cat/a.jpg"], ("cat",))
    assert describe_skipped(data.skipped_files) == "1 gallery created by zfscope ('conv5')"


@pytest.mark.parametrize("name", ["a.jfif", "a.jpe", "a", "a.tmp", "a.JPG", "a.2024-01-01", "a~1"])
def test_photos_are_found_by_suffix_or_else_by_their_first_bytes(tmp_path: Path, name: str) -> None:
    assert open_data(write(tmp_path, **{name: JPEG})).names == [name]


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
def test_other_files_are_counted_by_what_they_are(tmp_path: Path, name: str, data: bytes, kind: str) -> None:
    assert counts(open_data(write(tmp_path, **{"b.jpg": JPEG, name: data}))) == {kind: 1}


@pytest.mark.parametrize(
    "name", ["a.JPEG~", "a.jpg.~1~", "a.JPEG.bak", "a.jpg.ORIG", "#a.jpg#", "a.jpg.swp", "a\nb.jpg.old"]
)
@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_backups_of_photos_are_passed_over_and_counted(tmp_path: Path, name: str, kind: str) -> None:
    files = {
        "cat/a.jpg": JPEG,
        f"cat/{name}": JPEG,
        "dog/b~1.jpg": JPEG,
        "dog/#1.jpg": JPEG,
        "dog/x~": b"text",
    }
    path = write(tmp_path / "data", **files)
    if kind == "tar":
        path = tmp_path / "data.tar"
        with tarfile.open(path, "w") as packed:
            packed.add(tmp_path / "data", ".")
    data = open_data(path)
    assert list(data.names) == ["cat/a.jpg", "dog/#1.jpg", "dog/b~1.jpg"]
    assert counts(data) == {"backup": 1, "other": 1}
    assert "1 backup of a photo ('cat/" in describe_skipped(data.skipped_files)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (
            ["Cat", "cat", "dog"],
            "classes 'Cat', 'cat' differ only in case, spaces or Unicode normalisation; merge",
        ),
        (["a", "a ", "b"], "classes 'a', 'a ' differ"),
        (["a  b", "a b"], "classes 'a  b', 'a b' differ"),
        (["cafe\u0301", "caf\xe9"], r"classes 'cafe\u0301', 'caf\xe9' differ"),
        (["\u0416", "\u0436"], "classes '\u0416', '\u0436' differ"),
    ],
)
def test_classes_that_look_the_same_are_said(classes: list[str], words: str) -> None:
    (warning,) = similar_classes(classes)
    assert warning.startswith(words)


def test_classes_that_differ_are_not_said() -> None:
    assert not list(similar_classes(["cat", "cats", "c at", "cafe", "caf\xe9", "b\udce9"]))


@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "a"])
def test_heic_without_its_extra_is_counted_with_what_to_install(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zfscope.images.formats.importlib.util.find_spec", lambda name: None)
    for known in (readable_formats, photo_suffixes):
        known.cache_clear()
    try:
        (passed,) = open_data(write(tmp_path, **{"b.jpg": JPEG, name: HEIC})).skipped_files
    finally:
        for known in (readable_formats, photo_suffixes):
            known.cache_clear()
    assert (passed.kind, passed.count) == ("HEIC", 1)
    assert passed.advice == "install zfscope[heic] where photos are decoded, or convert to JPEG"


@given(st.binary(max_size=64))
def test_any_first_bytes_are_judged(head: bytes) -> None:
    refusal = skip_reason("name", head)
    assert refusal is None or refusal.kind


def test_a_bmp_without_a_suffix_is_a_photo(tmp_path: Path) -> None:
    assert open_data(write(tmp_path, a=encoded("BMP"))).names == ["a"]


def test_a_folder_of_other_formats_alone_says_so_and_what_to_do(tmp_path: Path) -> None:
    write(tmp_path, **{"a.jxl": JPEG_XL, "b.jxl": JPEG_XL, "notes.txt": b"x"})
    words = r"no photos \(.*\); skipped: 2 JPEG XL files \('a.jxl', 'b.jxl': convert to JPEG or PNG\)"
    with pytest.raises(InputError, match=words) as caught:
        open_data(tmp_path)
    assert caught.value.message.endswith("1 file that is not an image (.txt)")
    assert caught.value.field == "data"


class TestLinks:
    """Symbolic links."""

    def test_links_to_files_and_folders_are_followed(self, tmp_path: Path) -> None:
        write(tmp_path / "far", **{"x.png": PNG})
        write(tmp_path / "data", **{"cat/a.png": PNG})
        (tmp_path / "data" / "dog").symlink_to(tmp_path / "far")
        (tmp_path / "data" / "cat" / "b.png").symlink_to(tmp_path / "far" / "x.png")
        (tmp_path / "data" / "cat" / "c").symlink_to(tmp_path / "far" / "x.png")
        data = open_data(tmp_path / "data")
        assert data.names == ["cat/a.png", "cat/b.png", "dog/x.png"]
        assert describe_skipped(data.skipped_files) == (
            "1 link to a file or folder already in its class ('cat/c')"
        )

    def test_a_photo_is_listed_once_in_a_class_by_its_own_name(self, tmp_path: Path) -> None:
        root = write(tmp_path / "data", **{"cat/deep/a.png": PNG, "cat/deep/b.png": PNG, "dog/c.png": PNG})
        (root / "cat" / "0.png").symlink_to(root / "cat" / "deep" / "a.png")
        (root / "cat" / "1").symlink_to(root / "cat" / "deep")
        (root / "cat" / "deep" / "0.png").hardlink_to(root / "cat" / "deep" / "b.png")
        (root / "dog" / "a.png").symlink_to(root / "cat" / "deep" / "a.png")
        (root / "dog2").symlink_to(root / "dog")
        data = open_data(root)
        assert data.names == [
            "cat/deep/0.png",
            "cat/deep/a.png",
            "dog/a.png",
            "dog/c.png",
            "dog2/a.png",
            "dog2/c.png",
        ]
        assert data.classes == ("cat", "dog", "dog2")
        assert describe_skipped(data.skipped_files) == (
            "3 links to files or folders already in their class ('cat/0.png', 'cat/1', 'cat/deep/b.png')"
        )

    def test_loose_photos_and_those_of_the_root_are_listed_once_too(self, tmp_path: Path) -> None:
        write(tmp_path, **{"a.png": PNG})
        for name in ("b.png", "0.png"):
            (tmp_path / name).symlink_to(tmp_path / "a.png")
        data = open_data(tmp_path)
        assert (data.names, counts(data)) == (["a.png"], {"repeated": 2})

    def test_folders_that_all_link_to_each_other_are_listed_once_in_each_class(self, tmp_path: Path) -> None:
        names = [f"{number:02}" for number in range(24)]
        for one in names:
            write(tmp_path, **{f"{one}/{one}.png": PNG})
            for other in names:
                (tmp_path / one / f"to-{other}").symlink_to(tmp_path / other)
        data = open_data(tmp_path)
        assert len(data) == 24 * 24
        assert data.labels[:24] == ["00"] * 24
        assert data.names[:2] == ["00/00.png", "00/to-01/01.png"]
        # Each class has 24 links in each of 24 folders, of which 23 were followed.
        assert sum(counts(data).values()) == 24 * (24 * 24 - 23)
        assert set(counts(data)) == {"loop", "repeated"}

    def test_the_same_names_are_kept_in_whatever_order_links_were_made(self, tmp_path: Path) -> None:
        lists = []
        for order in (("a", "b", "c"), ("c", "a", "b")):
            root = write(tmp_path / order[0], **{"x/p.png": PNG})
            far = write(tmp_path / f"far-{order[0]}", **{"y/q.png": PNG})
            for name in order:
                (root / "x" / name).symlink_to(far if name == "b" else far / "y")
            lists.append(open_data(root).names)
        assert lists == [["x/a/q.png", "x/p.png"]] * 2

    @pytest.mark.parametrize("name", ["self.png", "self", "cat/self"])
    def test_one_to_itself_is_passed_over_and_named(self, tmp_path: Path, name: str) -> None:
        write(tmp_path, **{"cat/a.png": PNG})
        (tmp_path / name).symlink_to(tmp_path / name)
        data = open_data(tmp_path)
        assert (data.names, data.classes) == (["cat/a.png"], ("cat",))
        assert describe_skipped(data.skipped_files) == f"1 circular link ('{name}')"

    @pytest.mark.parametrize("target", [".", "cat", "cat/deep"])
    def test_one_to_a_folder_above_it_is_passed_over(self, tmp_path: Path, target: str) -> None:
        write(tmp_path, **{"cat/deep/a.png": PNG})
        (tmp_path / "cat" / "deep" / "up").symlink_to(tmp_path / target)
        data = open_data(tmp_path)
        assert data.names == ["cat/deep/a.png"]
        assert describe_skipped(data.skipped_files) == "1 circular link ('cat/deep/up')"

    def test_one_to_the_data_set_itself_is_no_class(self, tmp_path: Path) -> None:
        write(tmp_path, **{"cat/a.png": PNG})
        (tmp_path / "all").symlink_to(tmp_path)
        assert open_data(tmp_path).classes == ("cat",)

    def test_one_to_nothing_is_passed_over_and_named(self, tmp_path: Path) -> None:
        write(tmp_path, **{"a.png": PNG})
        (tmp_path / "b.png").symlink_to(tmp_path / "nowhere.png")
        assert describe_skipped(open_data(tmp_path).skipped_files) == "1 dangling link ('b.png')"

    def test_a_data_set_that_is_a_link_to_itself_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "data").symlink_to(tmp_path / "data")
        with pytest.raises(InputError, match=r"data set '.*/data' cannot be opened: "):
            open_data(tmp_path / "data")

    def test_those_in_a_tar_are_counted(self, tmp_path: Path) -> None:
        write(tmp_path / "data", **{"a.png": PNG})
        (tmp_path / "data" / "b.png").symlink_to("a.png")
        with tarfile.open(tmp_path / "x.tar", "w") as packed:
            packed.add(tmp_path / "data", ".")
        data = open_data(tmp_path / "x.tar")
        assert data.names == ["a.png"]
        assert (
            describe_skipped(data.skipped_files)
            == "1 link in the tar ('b.png': create the tar with --dereference)"
        )


def test_pipes_and_sockets_are_never_opened(tmp_path: Path) -> None:
    write(tmp_path, **{"a.png": PNG})
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    assert (
        describe_skipped(open_data(tmp_path).skipped_files)
        == "2 pipes, sockets or devices ('pipe', 'pipe.png')"
    )


def test_a_pipe_is_not_a_data_set(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe' cannot be opened: neither a folder nor a regular file"):
        open_data(tmp_path / "pipe")


class TestUnreadable:
    """Files and folders without permission. The tests may run as root, who may read everything."""

    @pytest.fixture(autouse=True)
    def _forbidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Refuse what is called `forbidden`, as the system does."""
        scan, head = os.scandir, folder._head

        def scandir(path: str) -> Iterator[Any]:
            return scan(self._allowed(path))

        monkeypatch.setattr(os, "scandir", scandir)
        monkeypatch.setattr(folder, "_head", lambda path: head(self._allowed(path)))

    def _allowed(self, path: str) -> str:
        if "forbidden" in str(path):
            raise PermissionError(13, "Permission denied", path)
        return path

    def test_they_are_passed_over_and_named(self, tmp_path: Path) -> None:
        write(tmp_path, **{"cat/a.png": PNG, "cat/forbidden/b.png": PNG, "cat/forbidden2": PNG})
        data = open_data(tmp_path)
        assert data.names == ["cat/a.png"]
        words = "2 unreadable files or folders ('cat/forbidden', 'cat/forbidden2')"
        assert describe_skipped(data.skipped_files) == words

    def test_a_class_stays_one_without_photos(self, tmp_path: Path) -> None:
        write(tmp_path, **{"cat/a.png": PNG, "forbidden/b.png": PNG})
        assert open_data(tmp_path).classes == ("cat", "forbidden")

    def test_the_data_set_itself_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path / "forbidden", **{"a.png": PNG})
        with pytest.raises(InputError, match="forbidden' cannot be read: Permission denied"):
            open_data(tmp_path / "forbidden")


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_classes_without_photos_are_known(tmp_path: Path, kind: str) -> None:
    root = write(tmp_path / "data", **{"cat/a.png": PNG, "dog/b.png": PNG})
    (root / "cow" / "deep").mkdir(parents=True)
    path = root
    if kind == "tar":
        path = tmp_path / "x.tar"
        with tarfile.open(path, "w") as packed:
            packed.add(root, "data")
    assert open_data(path).classes == ("cat", "cow", "dog")


def test_names_that_are_not_utf_8_are_listed_and_printed_escaped(tmp_path: Path) -> None:
    write(tmp_path, **{"caf\udce9/a.png": PNG, "b\udce9.txt": b"x", ".c\udce9": b"x"})
    data = open_data(tmp_path)
    assert data.names == ["caf\udce9/a.png"]
    assert all(name.isprintable() for passed in data.skipped_files for name in passed.examples)


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A photo below 1,200 folders, which shutil could not remove again."""
    root, start = tmp_path / "data", Path.cwd()
    root.mkdir()
    try:
        os.chdir(root)
        for _ in range(1200):
            Path("d").mkdir()
            os.chdir("d")
        Path("a.png").write_bytes(PNG)
        os.chdir(start)
        yield root
    finally:
        os.chdir(start)
        subprocess.run(["rm", "-rf", root], check=True)


def test_folders_nested_deeper_than_calls_may_be_are_listed(deep: Path) -> None:
    assert open_data(deep).names == ["d/" * 1200 + "a.png"]


@pytest.mark.parametrize("cut", [20, 200])
def test_a_cut_off_compressed_tar_is_refused_in_one_sentence(tmp_path: Path, cut: int) -> None:
    write(tmp_path, **{"a.png": os.urandom(5000)})
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "a.png", "a.png")
    whole = (tmp_path / "x.tar.gz").read_bytes()
    (tmp_path / "x.tar.gz").write_bytes(whole[:cut])
    with pytest.raises(InputError, match=r"x\.tar\.gz' is"):
        open_data(tmp_path / "x.tar.gz")


def test_the_first_names_are_the_same_in_whatever_order_files_were_written(tmp_path: Path) -> None:
    write(tmp_path, **{"a.png": PNG})
    for name in ("z", "m", "b", "q"):
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
    assert describe_skipped(open_data(tmp_path).skipped_files) == "4 dangling links ('b', 'm', 'q', ...)"


class TestStamp:
    """The stamp, which changes when a file is written again."""

    def status(self, path: Path) -> os.stat_result:
        return path.stat()

    def test_a_file_of_the_same_size_and_time_that_replaced_another_has_another(self, tmp_path: Path) -> None:
        write(tmp_path, a=b"12", b=b"34")
        status = (tmp_path / "a").stat()
        os.utime(tmp_path / "b", ns=(status.st_atime_ns, status.st_mtime_ns))
        later = status.st_ctime_ns + 10**12
        before = file_stamp(status, now_ns=later)
        (tmp_path / "b").rename(tmp_path / "a")
        after = (tmp_path / "a").stat()
        assert (after.st_size, after.st_mtime_ns) == (status.st_size, status.st_mtime_ns)
        assert file_stamp(after, now_ns=later) != before

    def test_a_file_that_was_changed_just_now_has_none(self, tmp_path: Path) -> None:
        write(tmp_path, a=b"12")
        status = (tmp_path / "a").stat()
        assert stat.S_ISREG(status.st_mode)
        assert file_stamp(status, now_ns=status.st_ctime_ns + 1) == NO_STAMP
        assert file_stamp(status, now_ns=status.st_ctime_ns + 3 * 10**9) != NO_STAMP


def test_names_with_line_feeds_and_escapes_are_shown_in_one_line(tmp_path: Path) -> None:
    write(tmp_path, **{"a.png": PNG})
    (tmp_path / "a\n\x1b[31m.png").symlink_to(tmp_path / "nowhere")
    assert describe_skipped(open_data(tmp_path).skipped_files) == r"1 dangling link ('a\n\x1b[31m.png')"
