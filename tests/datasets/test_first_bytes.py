"""Recognition of photos by suffix and first bytes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.conftest import JPEG, encoded, write_files
from zfscope.datasets import open_data
from zfscope.datasets.first_bytes import skip_reason


@pytest.mark.parametrize("name", ["a.jfif", "a.jpe", "a", "a.tmp", "a.JPG", "a.2024-01-01", "a~1"])
def test_photos_are_recognised_by_suffix_or_by_first_bytes(tmp_path: Path, name: str) -> None:
    assert open_data(write_files(tmp_path, **{name: JPEG})).names == [name]


def test_a_bmp_without_a_suffix_is_a_photo(tmp_path: Path) -> None:
    assert open_data(write_files(tmp_path, a=encoded("BMP"))).names == ["a"]


@given(st.binary(max_size=64))
def test_any_first_bytes_are_accepted_or_skipped_with_a_kind(head: bytes) -> None:
    reason = skip_reason("name", head)
    assert reason is None or reason.kind
