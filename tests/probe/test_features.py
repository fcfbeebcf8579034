"""Features on disk: rows by photo, and a journal that survives a kill."""

import errno
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.probe.conftest import BROKEN, LAYERS
from zfscope.errors import CannotWrite, InputError
from zfscope.parallel import Batch, Work
from zfscope.probe import ProbeResult, features, open_data, open_features, read_probe
from zfscope.probe.extract import BatchFeatures
from zfscope.probe.journal import Journal
from zfscope.probe.manifest import read_features

Make = Callable[..., ProbeResult]


def test_row_i_of_every_array_belongs_to_photo_i(make: Make, tmp_path: Path, photos: Path) -> None:
    result = make()
    arrays = open_features(tmp_path / "out" / "it")
    assert tuple(arrays) == LAYERS
    data = open_data(photos)
    rows = pq.read_table(tmp_path / "out" / "it" / "rows.parquet").to_pylist()
    assert [(row["path"], row["class"]) for row in rows] == list(zip(data.names, data.labels, strict=True))
    used = [row["features"] for row in rows]
    assert used == [row["path"] not in (*BROKEN, "loose.png") for row in rows]
    assert result.features.photos == sum(used) == 25
    assert [each.path for each in result.features.skipped] == list(BROKEN)
    for layer in result.features.origin.layers:
        array = arrays[layer.name]
        assert (array.shape, array.dtype) == ((len(data), layer.features), np.float16)
        squares = (array.astype(np.float64) ** 2).mean(1)
        np.testing.assert_allclose(squares, used, atol=0.01)
    assert read_features(tmp_path / "out" / "it") == result.features
    assert read_probe(tmp_path / "out" / "it") == result


def test_at_most_one_result_of_the_engine_is_kept(make: Make) -> None:
    alive: list[weakref.ref[BatchFeatures]] = []

    def engine(work: Work[BatchFeatures], batches: Iterable[Batch]) -> Iterator[BatchFeatures]:
        for batch in batches:
            for photo in batch.photos:
                result = work(Batch(batch.number, (photo,)))
                alive.append(weakref.ref(result))
                yield result
                assert sum(each() is not None for each in alive) <= 2  # this one, and the consumer's last

    make(options={"engine": engine})
    assert len(alive) == 27


def test_an_incomplete_line_of_a_journal_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    journal = Journal(path)
    journal.append({"a": 1})
    with path.open("ab") as file:
        file.write(b'{"a":2')
    journal = Journal(path)
    journal.append({"a": 3})
    assert [*journal] == [{"a": 1}, {"a": 3}]
    path.write_bytes(b"no json\n")
    with pytest.raises(InputError, match=r"lines\.jsonl' is damaged; remove its folder to start again"):
        [*Journal(path)]


def test_a_full_disk_ends_the_probe_with_advice_and_it_resumes(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(photos: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(features, "_runs", full)
        message = r"001-relu1\.npy' cannot be written: No space left on device; free some space there"
        with pytest.raises(CannotWrite, match=message):
            make()
    assert make().features.photos == 25


def test_damaged_or_missing_files_are_named(make: Make, tmp_path: Path) -> None:
    make()
    folder = tmp_path / "out" / "it"
    with pytest.raises(InputError, match=r"out' has no probe\.json of `zfscope probe`: No such file"):
        read_probe(folder.parent)
    (folder / "features.json").write_text("{}")
    with pytest.raises(InputError, match=r"features\.json' is damaged: .*; remove the folder and repeat the"):
        open_features(folder)
