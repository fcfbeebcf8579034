"""Descriptions of names in docstrings, and names of files."""

import pytest

from zfscope.text import safe_stem, split_fields


def test_descriptions_are_read_from_both_forms_of_docstrings() -> None:
    text = "Do something.\n\ntop: number of classes; default: 5. ten_crop: average\n    over ten crops."

    paragraphs, described = split_fields(text, ["top", "ten_crop"])

    assert paragraphs == ["Do something."]
    assert described == {"top": "number of classes; default: 5.", "ten_crop": "average over ten crops."}
    assert split_fields(text, ["other"])[1] == {}


def test_a_description_of_several_names_is_that_of_each() -> None:
    assert split_fields("A box. y, x: in pixels.\n\nRaises NotFound.", ["x", "y"]) == (
        ["A box.", "Raises NotFound."],
        {"y": "in pixels.", "x": "in pixels."},
    )


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("china", "china"),
        ("../..", "_____"),
        ("a b.c", "a_b_c"),
        ("-x", "x"),
        ("---", "_"),
        ("\u7a93", "\u7a93"),
        ("caf\udce9", "caf_"),
        ("x" * 300, "x" * 40),
    ],
)
def test_any_name_becomes_a_safe_file_stem(name: str, stem: str) -> None:
    assert safe_stem(name) == stem
