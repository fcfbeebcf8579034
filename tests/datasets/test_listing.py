"""What a data set holds: folders, tars and lists give photos with numbers, in one order."""

import os
import tarfile
from pathlib import Path

import pytest

from zfscope.datasets import DataSet, UnusablePhoto, open_data, read_photo
from zfscope.errors import InputError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def pack(tar: Path, root: Path, *names: str) -> Path:
    with tarfile.open(tar, "w") as packed:
        for name in names:
            packed.add(root / name, name)
    return tar


def listed(data: DataSet) -> list[tuple[str, str]]:
    return list(zip(data.names, data.labels, strict=True))


def bytes_of(data: DataSet, number: int) -> bytes:
    photo = data.photo(number)
    with photo.file.open("rb") as file:
        file.seek(photo.offset)
        return file.read(photo.size)


class TestFolder:
    """A folder."""

    def test_sub_folders_are_classes_and_photos_are_numbered_by_path(self, tmp_path: Path) -> None:
        data = open_data(touch(tmp_path, "dog/2.png", "cat/b.JPEG", "dog/10.png", "a.gif", "cat/deep/c.tif"))
        assert data.kind == "folder"
        assert listed(data) == [
            ("a.gif", ""),
            ("cat/b.JPEG", "cat"),
            ("cat/deep/c.tif", "cat"),
            ("dog/10.png", "dog"),
            ("dog/2.png", "dog"),
        ]
        assert bytes_of(data, 3) == b"dog/10.png"

    def test_other_files_and_hidden_ones_are_passed_over(self, tmp_path: Path) -> None:
        data = open_data(touch(tmp_path, "a.png", "a.txt", "._a.png", ".cache/b.png", "png"))
        assert data.names == ["a.png"]

    def test_links_to_folders_are_followed_but_never_round_in_circles(self, tmp_path: Path) -> None:
        touch(tmp_path / "elsewhere", "x.png")
        touch(tmp_path / "data", "cat/a.png")
        (tmp_path / "data" / "dog").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "data" / "cat" / "self").symlink_to(tmp_path / "data")
        assert listed(open_data(tmp_path / "data")) == [("cat/a.png", "cat"), ("dog/x.png", "dog")]

    def test_what_is_no_plain_file_is_passed_over(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.png")
        os.mkfifo(tmp_path / "pipe.png")
        (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere")
        assert open_data(tmp_path).names == ["a.png"]

    @pytest.mark.parametrize("names", [[], ["a.txt", "b/c.txt"]])
    def test_one_without_photos_is_refused(self, tmp_path: Path, names: list[str]) -> None:
        with pytest.raises(InputError, match=r"contains no photos \(\.avif, .*\.webp\)") as caught:
            open_data(touch(tmp_path, *names))
        assert caught.value.field == "data"


class TestTar:
    """A tar of folders."""

    def test_photos_are_read_where_they_lie(self, tmp_path: Path) -> None:
        names = ["val/dog/b.png", "val/cat/a.png", "val/readme.txt"]
        data = open_data(pack(tmp_path / "x.tar", touch(tmp_path, *names), *names))
        assert (data.kind, data.root) == ("tar", tmp_path / "x.tar")
        assert listed(data) == [("val/cat/a.png", "cat"), ("val/dog/b.png", "dog")]
        assert [bytes_of(data, number) for number in (0, 1)] == [b"val/cat/a.png", b"val/dog/b.png"]

    @pytest.mark.parametrize(
        ("names", "labels"),
        [
            (["n1/a.png", "n2/a.png"], ["n1", "n2"]),
            (["a.png", "b.png"], ["", ""]),
            (["x/y/n1/a.png", "x/y/n1/deep/b.png", "x/y/n2/a.png"], ["n1", "n1", "n2"]),
            (["all/of/them/a.png", "all/of/them/b.png"], ["", ""]),
            (["a.png", "n1/a.png"], ["", "n1"]),
            (["only/one.png"], [""]),
        ],
    )
    def test_folders_that_hold_everything_are_no_classes(
        self, tmp_path: Path, names: list[str], labels: list[str]
    ) -> None:
        assert open_data(pack(tmp_path / "x.tar", touch(tmp_path, *names), *names)).labels == labels

    def test_of_two_members_of_one_name_the_last_counts(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.png")
        pack(tmp_path / "x.tar", tmp_path, "a.png")
        (tmp_path / "a.png").write_bytes(b"newer")
        with tarfile.open(tmp_path / "x.tar", "a") as packed:
            packed.add(tmp_path / "a.png", "./a.png")
        data = open_data(tmp_path / "x.tar")
        assert data.names == ["a.png"]
        assert bytes_of(data, 0) == b"newer"

    def test_a_photo_that_was_packed_as_a_link_to_another_is_there_twice(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.png")
        (tmp_path / "b.png").hardlink_to(tmp_path / "a.png")
        data = open_data(pack(tmp_path / "x.tar", tmp_path, "a.png", "b.png"))
        assert data.names == ["a.png", "b.png"]
        assert bytes_of(data, 1) == b"a.png"

    def test_a_compressed_one_is_refused_with_the_way_out(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.png")
        with tarfile.open(tmp_path / "x.tar", "w:gz") as packed:
            packed.add(tmp_path / "a.png", "a.png")
        with pytest.raises(
            InputError, match=r"x.tar' is a compressed or damaged tar \(.*\); unpack it"
        ) as caught:
            open_data(tmp_path / "x.tar")
        assert caught.value.field == "data"

    def test_one_without_photos_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"x\.tar' contains no photos"):
            open_data(pack(tmp_path / "x.tar", touch(tmp_path, "a.txt"), "a.txt"))


class TestList:
    """A text file that lists photos."""

    def write(self, tmp_path: Path, text: str) -> Path:
        path = tmp_path / "photos.txt"
        path.write_text(text, encoding="utf-8")
        return path

    def test_each_line_is_a_path_and_may_have_a_class(self, tmp_path: Path) -> None:
        touch(tmp_path, "two words.png", "sub/a.data", "é.png")
        lines = f"two words.png\tdog \r\n\n./sub/a.data\n{tmp_path / 'é.png'}\tcat\n"
        data = open_data(self.write(tmp_path, lines))
        assert (data.kind, data.root) == ("list", tmp_path)
        assert listed(data) == [
            (str(tmp_path / "é.png"), "cat"),
            ("sub/a.data", ""),
            ("two words.png", "dog"),
        ]
        assert bytes_of(data, 0) == "é.png".encode()

    def test_a_photo_that_is_not_there_is_kept_to_be_told_of(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.png")
        (tmp_path / "folder.png").mkdir()
        data = open_data(self.write(tmp_path, "a.png\nmissing.png\nfolder.png\n"))
        assert list(zip(data.names, data.sizes, strict=True)) == [
            ("a.png", 5),
            ("folder.png", -1),
            ("missing.png", -1),
        ]

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
    def test_a_list_is_read_by_its_byte_order_mark_without_comments(
        self, tmp_path: Path, encoding: str
    ) -> None:
        touch(tmp_path, "\u00e9.png")
        touch(tmp_path, "# 1.png")
        text = "# photos of today\r\n\u00e9.png\tcat\r\n #\r\n./# 1.png\tdog\r\n"
        (tmp_path / "list").write_bytes(text.encode(encoding))
        data = open_data(tmp_path / "list")
        assert sorted(zip(data.names, data.labels, strict=True)) == [
            ("# 1.png", "dog"),
            ("\u00e9.png", "cat"),
        ]

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_marks_of_lists_that_were_joined_are_no_part_of_names(
        self, tmp_path: Path, encoding: str
    ) -> None:
        touch(tmp_path, "a.png", "b.png")
        joined = b"".join(f"{name}.png\tone\n".encode(encoding) for name in "ab")
        (tmp_path / "list.txt").write_bytes(joined)
        data = open_data(tmp_path / "list.txt")
        assert list(data.names) == ["a.png", "b.png"]
        assert min(data.sizes) >= 0

    def test_a_folder_in_a_list_is_said_to_be_one(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.png", "more/b.png")
        (tmp_path / "list.txt").write_text("a.png\nmore\nnone.png\n")
        data = open_data(tmp_path / "list.txt")
        with pytest.raises(UnusablePhoto, match="it is a folder; list the photos in it"):
            read_photo(data.photo(1))
        with pytest.raises(UnusablePhoto, match="no such file"):
            read_photo(data.photo(2))
        (tmp_path / "list.txt").write_text("more\n")
        with pytest.raises(InputError, match="none of which exists; the first is the folder 'more'"):
            open_data(tmp_path / "list.txt")

    def test_utf_16_without_a_mark_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "list").write_bytes("a.png\n".encode("utf-16-le"))
        with pytest.raises(InputError, match="it is binary, or UTF-16 without a byte order mark"):
            open_data(tmp_path / "list")

    def test_a_photo_that_is_listed_twice_counts_once(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.png")
        assert len(open_data(self.write(tmp_path, "a.png\tcat\n./a.png\tcat\n"))) == 1

    def test_a_photo_of_two_classes_is_refused(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.png")
        with pytest.raises(InputError, match=r"lists 'a.png' with two classes, 'cat' and 'dog'"):
            open_data(self.write(tmp_path, "a.png\tcat\na.png\tdog\n"))

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("some\ntext\n", "lists 2 photos, none of which exists; the first is 'some'"),
            ("", "lists no photos; a line is a path relative to the list"),
        ],
    )
    def test_a_text_that_lists_nothing_is_refused(self, tmp_path: Path, text: str, words: str) -> None:
        with pytest.raises(InputError, match=words) as caught:
            open_data(self.write(tmp_path, text))
        assert caught.value.field == "data"

    @pytest.mark.parametrize(
        "data", [b"\x89PNG\r\n\0\0", b"\xff\xd8\xff\xe0 a photo", "a.png\nü".encode("latin-1")]
    )
    def test_a_file_that_is_no_text_is_refused(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(InputError, match="is not a folder, a tar or a text file that lists photos"):
            open_data(tmp_path / "x")


def test_a_data_set_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=f"data set '{tmp_path}/nowhere' cannot be opened: no such folder or file"
    ) as caught:
        open_data(tmp_path / "nowhere")
    assert caught.value.field == "data"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("# photos\na.png\tcat\tx\n", "line 2 of .*list' has 3 columns"),
        ("a.png\n\na.png\t\tcat\tx\n", "line 3 of .*list' has 4 columns"),
        ("path\tclass\na.png\tcat\n", "line 1 of .*list' is a header line"),
        ('"File",label\na.png\n', "line 1 of .*list' is a header line"),
    ],
)
def test_a_line_of_more_columns_or_of_headings_is_refused_with_its_number(
    tmp_path: Path, text: str, fault: str
) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "list").write_text(text)
    with pytest.raises(
        InputError,
        match=f"{fault}; a line is a path relative to the list, optionally followed by a TAB and the class",
    ) as caught:
        open_data(tmp_path / "list")
    assert caught.value.field == "data"


def test_a_tab_at_the_end_and_a_photo_that_is_named_like_a_heading_are_taken(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "image")
    (tmp_path / "list").write_text("a.png\tbig cat\t\nimage\tdog\n")
    assert listed(open_data(tmp_path / "list")) == [("a.png", "big cat"), ("image", "dog")]


class TestFingerprint:
    """What tells data sets apart."""

    def test_it_is_the_same_for_the_same_photos_wherever_they_are(self, tmp_path: Path) -> None:
        names = ["cat/a.png", "dog/b.png"]
        one, other = touch(tmp_path / "one", *names), touch(tmp_path / "other", *reversed(names))
        tar = pack(tmp_path / "x.tar", one, *names)
        assert len({open_data(path).fingerprint for path in (one, other, tar)}) == 1

    def test_it_changes_with_names_classes_and_sizes(self, tmp_path: Path) -> None:
        touch(tmp_path, "data/a.png", "more/a.png", "more/b.png")
        before = open_data(tmp_path / "data").fingerprint
        (tmp_path / "data" / "list.txt").write_text("a.png\tcat")
        prints = {before, open_data(tmp_path / "more").fingerprint}
        prints.add(open_data(tmp_path / "data" / "list.txt").fingerprint)
        (tmp_path / "data" / "a.png").write_bytes(b"longer than before")
        prints.add(open_data(tmp_path / "data").fingerprint)
        assert len(prints) == 4
