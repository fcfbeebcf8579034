"""Text files that list photos."""

from pathlib import Path

import pytest

from tests.datasets.conftest import names_and_labels, read_bytes, write_names
from zfscope.datasets import UnusablePhoto, open_data, read_photo
from zfscope.errors import InputError


def write_list(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "photos.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_line_is_a_path_with_an_optional_class(tmp_path: Path) -> None:
    write_names(tmp_path, "two words.png", "sub/a.data", "é.png")
    lines = f"two words.png\tdog \r\n\n./sub/a.data\n{tmp_path / 'é.png'}\tcat\n"
    data = open_data(write_list(tmp_path, lines))
    assert (data.kind, data.root) == ("list", tmp_path)
    assert names_and_labels(data) == [
        (str(tmp_path / "é.png"), "cat"),
        ("sub/a.data", ""),
        ("two words.png", "dog"),
    ]
    assert read_bytes(data, 0) == "é.png".encode()


def test_missing_photos_and_folders_are_listed_without_a_size(tmp_path: Path) -> None:
    write_names(tmp_path, "a.png")
    (tmp_path / "folder.png").mkdir()
    data = open_data(write_list(tmp_path, "a.png\nmissing.png\nfolder.png\n"))
    assert list(zip(data.names, data.sizes, strict=True)) == [
        ("a.png", 5),
        ("folder.png", -1),
        ("missing.png", -1),
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_the_byte_order_mark_selects_the_encoding_and_comments_are_ignored(
    tmp_path: Path, encoding: str
) -> None:
    write_names(tmp_path, "\u00e9.png")
    write_names(tmp_path, "# 1.png")
    text = "# photos of today\r\n\u00e9.png\tcat\r\n #\r\n./# 1.png\tdog\r\n"
    (tmp_path / "list").write_bytes(text.encode(encoding))
    data = open_data(tmp_path / "list")
    assert sorted(zip(data.names, data.labels, strict=True)) == [
        ("# 1.png", "dog"),
        ("\u00e9.png", "cat"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_within_concatenated_lists_are_removed(tmp_path: Path, encoding: str) -> None:
    write_names(tmp_path, "a.png", "b.png")
    text = b"".join(f"{name}.png\tone\n".encode(encoding) for name in "ab")
    (tmp_path / "list.txt").write_bytes(text)
    data = open_data(tmp_path / "list.txt")
    assert list(data.names) == ["a.png", "b.png"]
    assert min(data.sizes) >= 0


def test_a_listed_folder_is_reported_as_a_folder(tmp_path: Path) -> None:
    write_names(tmp_path, "a.png", "more/b.png")
    (tmp_path / "list.txt").write_text("a.png\nmore\nnone.png\n")
    data = open_data(tmp_path / "list.txt")
    with pytest.raises(UnusablePhoto, match="it is a folder; list the photos in it"):
        read_photo(data.photo(1))
    with pytest.raises(UnusablePhoto, match="no such file"):
        read_photo(data.photo(2))
    (tmp_path / "list.txt").write_text("more\n")
    with pytest.raises(InputError, match="none of which exists; the first is the folder 'more'"):
        open_data(tmp_path / "list.txt")


def test_utf_16_without_a_byte_order_mark_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes("a.png\n".encode("utf-16-le"))
    with pytest.raises(InputError, match="it is binary, or UTF-16 without a byte order mark"):
        open_data(tmp_path / "list")


def test_duplicates_count_once(tmp_path: Path) -> None:
    write_names(tmp_path, "a.png")
    assert len(open_data(write_list(tmp_path, "a.png\tcat\n./a.png\tcat\n"))) == 1


def test_a_photo_with_two_classes_is_rejected(tmp_path: Path) -> None:
    write_names(tmp_path, "a.png")
    with pytest.raises(InputError, match=r"lists 'a.png' with two classes, 'cat' and 'dog'"):
        open_data(write_list(tmp_path, "a.png\tcat\na.png\tdog\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("some\ntext\n", "lists 2 photos, none of which exists; the first is 'some'"),
        ("", "lists no photos; a line is a path relative to the list"),
    ],
)
def test_a_list_without_existing_photos_is_rejected(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_data(write_list(tmp_path, text))
    assert caught.value.field == "data"


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\0\0", b"\xff\xd8\xff\xe0 a photo", "a.png\nü".encode("latin-1")]
)
def test_a_binary_file_is_rejected(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(InputError, match="is not a folder, a tar, or a text or Parquet file"):
        open_data(tmp_path / "x")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("# photos\na.png\tcat\tx\n", "line 2 of .*list' has 3 columns"),
        ("a.png\n\na.png\t\tcat\tx\n", "line 3 of .*list' has 4 columns"),
        ("path\tclass\na.png\tcat\n", "line 1 of .*list' is a header line"),
        ('"File",label\na.png\n', "line 1 of .*list' is a header line"),
    ],
)
def test_header_lines_and_extra_columns_are_rejected_with_the_line_number(
    tmp_path: Path, text: str, fault: str
) -> None:
    write_names(tmp_path, "a.png")
    (tmp_path / "list").write_text(text)
    with pytest.raises(
        InputError,
        match=f"{fault}; a line is a path relative to the list, optionally followed by a TAB and the class",
    ) as caught:
        open_data(tmp_path / "list")
    assert caught.value.field == "data"


def test_a_trailing_tab_and_a_photo_named_like_a_header_are_accepted(tmp_path: Path) -> None:
    write_names(tmp_path, "a.png", "image")
    (tmp_path / "list").write_text("a.png\tbig cat\t\nimage\tdog\n")
    assert names_and_labels(open_data(tmp_path / "list")) == [("a.png", "big cat"), ("image", "dog")]
