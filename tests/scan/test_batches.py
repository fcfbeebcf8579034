"""How photos are grouped into batches."""

from pathlib import Path

from zfscope.datasets import open_data
from zfscope.scan.batches import batches


def test_batches_depend_on_photo_numbers_only(tmp_path: Path) -> None:
    for number in range(35):
        (tmp_path / f"{number:02}.png").touch()
    data = open_data(tmp_path)
    numbers = [[photo.number for photo in batch.photos] for batch in batches(data)]
    assert numbers == [list(range(16)), list(range(16, 32)), [32, 33, 34]]
    assert [batch.number for batch in batches(data, done=0b010)] == [0, 2]
    assert list(batches(data, done=0b111)) == []
