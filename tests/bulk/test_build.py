"""One analysis per photo: the results, what is skipped, and what ends a run."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests.bulk.conftest import BROKEN, PHOTOS, QUICK, contents, must_not_run
from zfscope import LocalClient
from zfscope.analysis.contract import Analysis, Context, Notice
from zfscope.bulk import RunManifest, read_run
from zfscope.bulk.work import PhotoOutcomes
from zfscope.cancellation import Cancellation
from zfscope.errors import AnalyzerFailed, InputError, NotFound
from zfscope.parallel import Batch, LocalEngine, Work

Make = Callable[..., RunManifest]


def results(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "results.parquet", use_threads=False).to_pylist()
    return rows


def level(context: Context) -> float:
    return float(context.images[0].photo.mean())


def test_the_results_are_those_of_single_calls(make: Make, photos: Path, store: Path, tmp_path: Path) -> None:
    manifest = make(tensors=True, pictures=True)
    out = tmp_path / "out" / "it"
    assert (manifest.images, manifest.skipped, manifest.pictures) == (5, 1, 5)
    rows, places = results(out), pq.read_table(out / "tensors.parquet", use_threads=False).to_pylist()
    with LocalClient(store) as client:
        for name in PHOTOS:
            single = client.analyze("occlude", [photos / name], QUICK, tensors=True).analysis
            own = [row for row in rows if row["path"] == name]
            (numbers,) = [row for row in own if row["table"] == ""]
            assert {key: numbers[key] for key in single.numbers} == pytest.approx(single.numbers)
            for table_name, table in single.tables.items():
                found = [row for row in own if row["table"] == table_name]
                assert [row["row"] for row in found] == list(range(len(table.rows)))
                for row, expected in zip(found, table.records(), strict=True):
                    assert {key: row[key] for key in expected} == pytest.approx(expected)
            for place in (each for each in places if each["path"] == name):
                tensor = np.load(out / place["file"])[place["index"]]
                np.testing.assert_allclose(tensor, single.tensors[place["tensor"]], rtol=1e-5, atol=1e-6)
            assert {each["tensor"] for each in places if each["path"] == name} == set(single.tensors)
            (picture,) = out.glob(f"pictures/*-{Path(name).stem.replace(' ', '_')}-occlusion.png")
            assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_number_of_threads_changes_nothing(make: Make, tmp_path: Path) -> None:
    cores = torch.get_num_threads()
    for threads in (1, 3):
        make(f"by-{threads}", engine=LocalEngine(threads), tensors=True, pictures=True)
    assert contents(tmp_path / "out" / "by-1") == contents(tmp_path / "out" / "by-3")
    assert torch.get_num_threads() == cores


def test_without_tensors_and_pictures_only_tables_are_written(make: Make, tmp_path: Path) -> None:
    manifest = make()
    assert sorted(contents(tmp_path / "out" / "it")) == ["results.parquet", "run.json", "skipped.parquet"]
    assert manifest == read_run(tmp_path / "out" / "it")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["it"]


def test_broken_photos_are_listed_with_the_reason(make: Make, tmp_path: Path) -> None:
    make()
    (row,) = pq.read_table(tmp_path / "out" / "it" / "skipped.parquet").to_pylist()
    assert (row["path"], row["image"]) == (BROKEN, 2)
    assert row["reason"].startswith("the file is not an image")
    assert {row["class"] for row in results(tmp_path / "out" / "it")} == {"a", "b", None}


def test_a_data_set_without_usable_photos_is_rejected_with_the_first_reason(
    make: Make, tmp_path: Path
) -> None:
    for number in range(3):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / f"{number}.jpg").write_text("no photo")
    with pytest.raises(InputError, match=r"none of the 3 photos in '.*' can be used; '0\.jpg': the file is"):
        make(data=tmp_path / "data", engine=lambda work, batches: iter(map(work, batches)))
    assert list((tmp_path / "out").glob("it")) == []


def test_what_fails_for_the_first_photo_ends_the_run(make: Make, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="'wasp'"):
        make(parameters={"classes": ["wasp"]}, engine=must_not_run)
    assert not (tmp_path / "out" / "it").exists()


def test_what_fails_for_a_later_photo_is_listed(make: Make, tmp_path: Path) -> None:
    seen: list[float] = []

    def function(context: Context) -> Analysis:
        seen.append(level(context))
        if len(seen) == 2:
            raise InputError("too bright", field="level")
        if len(seen) == 3:
            raise RuntimeError("no power")
        return Analysis(numbers={"level": level(context)})

    manifest = make(function=function, engine=LocalEngine(1))
    assert (manifest.images, manifest.skipped) == (3, 3)
    reasons = [row["reason"] for row in pq.read_table(tmp_path / "out/it/skipped.parquet").to_pylist()]
    assert reasons[0] == "too bright"
    assert reasons[2].startswith("analyzer 'scripted' (scripts 1) failed: RuntimeError: no power")


def test_a_lack_of_memory_ends_the_run_and_keeps_what_is_done(make: Make, tmp_path: Path) -> None:
    calls: list[int] = []

    def function(context: Context) -> Analysis:
        calls.append(1)
        if len(calls) == 3:
            raise MemoryError
        return Analysis(numbers={"level": level(context)})

    with pytest.raises(AnalyzerFailed, match="MemoryError"):
        make(function=function, engine=LocalEngine(1))
    resumed: list[int] = []
    assert make(function=function, progress=lambda done, total: resumed.append(done)).images == 5
    assert resumed[0] >= 1


def test_a_run_stops_soon_after_an_interruption(make: Make) -> None:
    cancel, calls = Cancellation(), list[int]()

    def function(context: Context) -> Analysis:
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        while len(calls) > 2:
            context.check_cancelled()
        return Analysis()

    engine = LocalEngine(2, cancel.cancel)
    with pytest.raises(AnalyzerFailed, match="MemoryError"):
        make(function=function, engine=engine, cancel=cancel)


def test_warnings_are_counted(make: Make) -> None:
    def function(context: Context) -> Analysis:
        dark = Notice("dark", "the photo is dark", "images[0]")
        return Analysis(warnings=(dark, dark) if context.images[0].photo.shape[1] > 40 else ())

    (warning,) = make(function=function).warnings
    assert (warning.code, warning.images, warning.first) == ("dark", 2, "b/窓.png")


@pytest.mark.parametrize("empty", [False, True])
def test_an_existing_run_is_returned_as_it_is(make: Make, tmp_path: Path, empty: bool) -> None:
    if empty:
        (tmp_path / "out" / "it").mkdir(parents=True)
    first = make()
    before = contents(tmp_path / "out" / "it")
    assert make(engine=must_not_run) == first
    assert contents(tmp_path / "out" / "it") == before


@pytest.mark.parametrize(
    ("options", "differing"),
    [
        ({"parameters": {**QUICK, "stride": 16}}, "parameters"),
        ({"pictures": True}, "pictures"),
        ({"analyzer": "project", "parameters": {}}, "analyzer, parameters"),
    ],
)
def test_a_run_with_other_inputs_is_not_replaced(
    make: Make, tmp_path: Path, options: dict[str, Any], differing: str
) -> None:
    make()
    message = (
        f"'.*/out/it' holds a run that differs in {differing}; choose another --out or remove that folder"
    )
    with pytest.raises(InputError, match=message) as caught:
        make(engine=must_not_run, **options)
    assert caught.value.field == "out"


def test_other_contents_are_not_touched(make: Make, tmp_path: Path) -> None:
    (tmp_path / "out" / "it").mkdir(parents=True)
    (tmp_path / "out" / "it" / "mine.txt").touch()
    with pytest.raises(
        InputError, match="has other contents than a run; choose a new or empty folder with --out"
    ):
        make(engine=must_not_run)
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["it", "mine.txt"]


def test_a_damaged_manifest_is_reported(make: Make, tmp_path: Path) -> None:
    make()
    path = tmp_path / "out" / "it" / "run.json"
    path.write_text(path.read_text().replace('"images": 5', '"images": "many"'))
    with pytest.raises(InputError, match=r"run\.json' is damaged: images.*; remove the folder and repeat"):
        make(engine=must_not_run)
    with pytest.raises(InputError, match=r"has no run\.json of `zfscope run`: No such file"):
        read_run(tmp_path)


def test_two_processes_cannot_write_the_same_run(make: Make) -> None:
    def meanwhile(work: Work[PhotoOutcomes], batches: Iterable[Batch]) -> Iterator[PhotoOutcomes]:
        with pytest.raises(InputError, match=r"another process is already writing to '.*/out/it'"):
            make(engine=must_not_run)
        yield from map(work, batches)

    make(engine=meanwhile)


def test_a_folder_that_cannot_be_created_is_reported(make: Make, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match=r"the results cannot be written to '.*': .*; choose another --out"):
        make(engine=must_not_run)
