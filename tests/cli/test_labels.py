"""Files of class names."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zfscope.cli.labels import check_order, read_class_names, read_labels
from zfscope.errors import InputError

EXPECTED = {"n01": "red bus", "n02": "cat"}


@pytest.mark.parametrize(
    "data",
    [
        b"n01 red bus\nn02 cat\n",
        b"\xef\xbb\xbfn01 red bus\nn02 cat",
        b"n01 red bus\r\n\r\nn02 cat\r\n",
        b"n01 red bus\rn02 cat\r",
        b"n01\tred bus\nn02\tcat",
        b"n01 \t red bus \n  n02   cat  \n",
        b"\xef\xbb\xbfn01\tred bus\r\nn02 cat\r\n",
        b"\tn01 red bus\nn02 cat",
        "n01 red bus\r\nn02 cat\r\n".encode("utf-16"),
        b"\xfe\xff" + "n01 red bus\nn02 cat".encode("utf-16-be"),
        b"n01 red bus\n\xef\xbb\xbfn02 cat\n",
        b"n01 red bus\n\xef\xbb\xbf# pets\nn02 cat\n",
        b"# classes of the street\nn01 red bus\n #\n## pets\nn02 cat\n",
    ],
)
def test_common_encodings_and_line_endings_are_read(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "labels").write_bytes(data)
    assert read_labels(tmp_path / "labels") == EXPECTED


def test_a_tab_ends_an_id_that_contains_spaces(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("golden retriever\ta good dog\nn02 cat")
    assert read_labels(tmp_path / "labels") == {"golden retriever": "a good dog", "n02": "cat"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"n01 a\nn02\n", r"line 2: 'n02' has no name; expected: n01440764 tench"),
        (b"n01\t\n", r"line 1: 'n01' has no name"),
        (b"n01\ttench\textra", r"line 1: 'n01' has 3 columns; expected two"),
        (b"\tn01 tench\textra\tmore", r"line 1: 'n01' has 4 columns"),
        (b"n01, tench", r"line 1: 'n01,' contains ','; expected: n01440764 tench; put a TAB after"),
        (b"n01,red bus", r"'n01,red' contains ','"),
        (b"n01;red bus", r"'n01;red' contains ';'"),
        (b"0: tench", r"'0:' contains ':'"),
        (b"'0' tench", r"contains \"'\""),
        (b'{"0": "tench"}', r"looks like JSON; write one line per class: n01440764 tench"),
        (b'\n{\n\t"0": ["n01440764", "tench"]\n}', r"looks like JSON"),
        (b'["tench", "goldfish"]', r"looks like JSON"),
        (b"n01 a\n\nn01 b", r"class 'n01' appears in lines 1 and 3; remove one of them"),
        (b"n01 a\nn01 a", r"class 'n01' appears in lines 1 and 2"),
        (
            "n01 a".encode("utf-16-le"),
            r"is not text: it is binary, or UTF-16 without a byte order mark; save it",
        ),
        ("n01 a".encode("utf-16")[:-1], r"cannot be read: .*truncated data; save it as UTF-8"),
        ("n01 a".encode("utf-32"), r"is not text: it is binary, or UTF-16 without"),
        (b"# nothing else\n", r"is empty"),
        (b"n01 caf\xe9", r"cannot be read: .*; save it as UTF-8"),
        (b"", r"is empty"),
        (b"\xef\xbb\xbf\n \n", r"is empty"),
    ],
)
def test_an_ambiguous_or_invalid_file_is_rejected(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "labels").write_bytes(data)
    with pytest.raises(InputError, match=message) as refusal:
        read_labels(tmp_path / "labels")
    assert refusal.value.field == "labels"


def test_a_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_labels(tmp_path)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1)


@given(st.dictionaries(TEXT, TEXT, min_size=1), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_written_names_are_read_back_unchanged(
    tmp_path_factory: pytest.TempPathFactory, names: dict[str, str], end: str, mark: bool
) -> None:
    path = tmp_path_factory.mktemp("labels") / "labels"
    lines = end.join(f"{folder}\t{name}" for folder, name in names.items())
    path.write_bytes(lines.encode("utf-8-sig" if mark else "utf-8"))
    if next(iter(names)).startswith("\ufeff"):
        return
    assert read_labels(path) == names


def test_an_id_may_start_with_the_comment_character(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("#\thash\n#a first\n")
    assert read_labels(tmp_path / "labels") == {"#": "hash", "#a": "first"}


def test_a_tab_ends_an_id_that_contains_a_comma(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("a, b\tboth\nc:\tlast\n")
    assert read_labels(tmp_path / "labels") == {"a, b": "both", "c:": "last"}


@pytest.mark.parametrize("ids", [[0, 1, 10, *range(2, 10)], [1, 10, 11, *range(2, 10)], [2, 1, 0], [2, 1]])
def test_shuffled_class_indexes_are_rejected(tmp_path: Path, ids: list[int]) -> None:
    with pytest.raises(InputError, match=r"follows .*sort them numerically \(sort -n\)") as refusal:
        check_order(tmp_path, {str(each): "a" for each in ids})
    assert refusal.value.field == "labels"


@pytest.mark.parametrize("ids", ["0 1 2", "00 01 02", "1 2 3", "n2 n1 n3", "3 5 7", "1 0 x", "5"])
def test_other_ids_keep_the_order_of_their_lines(tmp_path: Path, ids: str) -> None:
    assert not check_order(tmp_path, dict.fromkeys(ids.split(), "a"))


def test_other_numeric_ids_out_of_order_cause_a_warning(tmp_path: Path) -> None:
    assert "numeric ids are not in ascending order" in check_order(
        tmp_path, dict.fromkeys(["7", "3", "5"], "a")
    )


@pytest.mark.parametrize(
    "names",
    [
        ("great white shark", "tench", "American robin"),
        ("ant", "bee"),
        ("tench, Tinca tinca", "potter's wheel", "Band Aid"),
        ("707-320", "727-200"),
        ("0", "1", "2"),
        ("3 wheeler", "two seater"),
        ("label 0", "label 1"),
    ],
)
def test_a_list_of_names_has_the_names_as_ids(tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "labels").write_text("# classes\n\n" + "\r\n".join(f" {name} " for name in names))
    assert list(read_class_names(tmp_path / "labels").items()) == [(name, name) for name in names]


def test_a_list_with_a_name_twice_has_class_numbers_as_ids(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("crane\nblack swan\ncrane\n")
    assert read_class_names(tmp_path / "labels") == {"0": "crane", "1": "black swan", "2": "crane"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n01 red bus\nn02 cat\n", EXPECTED),
        ("0 red bus\n1 cat\n", {"0": "red bus", "1": "cat"}),
        ("ant\tred bus\nbee\tcat\n", {"ant": "red bus", "bee": "cat"}),
    ],
)
def test_a_file_with_ids_is_read_with_its_ids(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    (tmp_path / "labels").write_text(text)
    assert read_class_names(tmp_path / "labels") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n01 a\nn02\n", r"line 2: 'n02' has no name"),
        ("n01,red bus\nn02,cat", r"'n01,red' contains ','"),
        ("n01,tench\nn02,goldfish", r"line 1: 'n01,tench' has no name"),
        ('["tench", "goldfish"]', r"looks like JSON"),
        ('{"0": "tench"}', r"looks like JSON"),
        ("ant\tred bus\nbee\n", r"line 2: 'bee' has no name"),
        ("# nothing\n", r"is empty"),
    ],
)
def test_an_invalid_file_is_not_read_as_a_list_of_names(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labels").write_text(text)
    with pytest.raises(InputError, match=message):
        read_class_names(tmp_path / "labels")
