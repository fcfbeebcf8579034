"""Warnings of a result: without duplicates, and limited in number."""

from zfscope.results import MAX_NOTICE_CHARS, MAX_NOTICES, Notice, merge_notices


def test_different_warnings_are_kept_in_order() -> None:
    notices = (Notice("b", "two", "image"), Notice("a", "one"), Notice("a", "one more"))
    assert merge_notices(notices) == notices


def test_duplicate_warnings_are_merged() -> None:
    assert merge_notices([Notice("a", "one", "image")] * 3) == (Notice("a", "one", "image"),)


def test_a_warning_about_several_fields_is_merged_and_names_them() -> None:
    two = merge_notices(Notice("a", "one", f"images[{index}]") for index in range(2))
    assert two == (Notice("a", "one (the same of images[1])", "images[0]"),)
    (many,) = merge_notices(Notice("a", "one", f"images[{index}]") for index in range(4096))
    assert many.message == "one (the same of images[1], images[2], images[3] and 4,092 more)"


def test_warnings_over_the_limit_are_counted() -> None:
    merged = merge_notices(Notice("a", str(number)) for number in range(100))
    assert len(merged) == MAX_NOTICES
    assert merged[-1] == Notice("more-warnings", "81 more warnings of other kinds are left out")
    assert len(merge_notices(Notice("a", str(number)) for number in range(MAX_NOTICES))) == MAX_NOTICES


def test_long_texts_are_truncated() -> None:
    (merged,) = merge_notices([Notice("a", "m" * 9999, "f" * 9999)])
    assert (len(merged.message), len(merged.field)) == (MAX_NOTICE_CHARS, MAX_NOTICE_CHARS)
