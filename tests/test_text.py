"""Descriptions of names in docstrings."""

from zfscope.text import split_fields


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
