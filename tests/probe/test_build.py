"""Probes as a whole: the table by hand, resuming, and what is refused."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from tests.probe.conftest import BROKEN, LAYERS, results
from tests.scan.conftest import SPEC
from zfscope.datasets.first_bytes import skip_reason
from zfscope.errors import InputError, MissingExtra, NotFound
from zfscope.parallel import Batch, Work
from zfscope.probe import ProbeResult, open_data, open_features, plan_probe
from zfscope.probe.build import ProbeStage, select_layers
from zfscope.probe.extract import BatchFeatures
from zfscope.probe.plan import ProbedPhotos
from zfscope.scan import batches as scan_batches

Make = Callable[..., ProbeResult]


def must_not_run(work: Work[BatchFeatures], batches: Iterable[Batch]) -> Iterator[BatchFeatures]:
    raise AssertionError("the engine must not run")


def test_the_table_is_that_of_scikit_learn_by_hand(make: Make, photos: Path, tmp_path: Path) -> None:
    result = make(splits=3, test_per_class=3)
    arrays = open_features(tmp_path / "out" / "it")
    plan = plan_probe((2, 4), splits=3, test_per_class=3)
    data = open_data(photos)
    broken = frozenset(
        number for number, name in enumerate(data.names) if name in ("dark/03.png", "grey/00.png")
    )
    labels = np.array(data.labels)
    expected = {}
    for layer in LAYERS:
        for size in (2, 4):
            shares = []
            for split in ProbedPhotos(data, plan).splits(broken):
                trained = split.trained[size]
                classifier = LogisticRegression(C=0.1, tol=1e-3, max_iter=300)
                classifier.fit(arrays[layer][trained].astype(np.float32), labels[trained])
                predicted = classifier.predict(arrays[layer][split.tested].astype(np.float32))
                shares.append(100 * balanced_accuracy_score(labels[split.tested], predicted))
            expected[layer, size] = (round(mean(shares), 3), round(stdev(shares), 3))
    assert {
        (row.layer, row.per_class): (row.accuracy, row.deviation) for row in result.accuracies
    } == expected
    assert max(row.accuracy for row in result.accuracies) > 60
    assert (result.classes, result.tested) == (3, 9)


def test_an_interrupted_probe_resumes_with_the_same_results(make: Make, tmp_path: Path) -> None:
    def interrupted(work: Work[BatchFeatures], batches: Iterable[Batch]) -> Iterator[BatchFeatures]:
        yield from map(work, islice(batches, 1))
        raise KeyboardInterrupt

    whole = make("whole")
    with pytest.raises(KeyboardInterrupt):
        make(options={"engine": interrupted})
    reported: list[tuple[str, int, int]] = []

    def progress(stage: ProbeStage, done: int, total: int) -> None:
        reported.append((stage, done, total))
        if (stage, done) == ("classifiers", 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(options={"progress": progress})
    assert reported[:2] == [("features", 16, 27), ("features", 27, 27)]
    reported.clear()
    resumed = make(options={"engine": must_not_run, "progress": lambda *each: reported.append(each)})
    first = [*dict.fromkeys(reported)][:3]
    assert first == [("features", 27, 27), ("classifiers", 5, 12), ("classifiers", 6, 12)]
    assert resumed == whole
    assert results(tmp_path / "out" / "it") == results(tmp_path / "out" / "whole")


def test_another_plan_uses_the_features_that_are_there(make: Make, tmp_path: Path) -> None:
    first = make(per_class=(2,), splits=1, test_per_class=1)
    assert first.features.photos < 25
    more = make()
    assert more == make("fresh")
    assert make(per_class=(3,), options={"engine": must_not_run}).plan.per_class == (3,)
    assert [row.deviation for row in make(per_class=(3,), splits=1).accuracies] == [None] * 3


def test_photos_that_cannot_be_used_are_replaced(make: Make, photos: Path, tmp_path: Path) -> None:
    seeds = range(10)
    data = open_data(photos)
    broken = {*map(data.names.index, BROKEN)}

    def draws_broken(seed: int) -> bool:
        plan = plan_probe((2,), splits=1, test_per_class=1, seed=seed)
        return bool(broken & {*ProbedPhotos(data, plan).needed(frozenset()).tolist()})

    seed = next(filter(draws_broken, seeds))
    result = make(per_class=(2,), splits=1, test_per_class=1, seed=seed)
    assert (result.features.photos, result.tested) == (9, 3)
    assert 1 <= len(result.features.skipped) <= 2


def test_a_class_with_too_few_usable_photos_is_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"class 'dark' has 8 usable photos, and 1 other class has too few"):
        make(per_class=(8,))
    assert make(per_class=(7,)).features.photos == 25


def test_a_data_set_without_usable_photos_is_refused(make: Make, tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (tmp_path / "bad" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bad" / name).write_text("no photo")
    with pytest.raises(InputError, match=r"none of the 4 photos in .*bad' can be used; 'a/1.png': the file"):
        make(data=tmp_path / "bad", per_class=(1,))


def test_a_folder_with_other_contents_is_refused(make: Make, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "it"
    folder.mkdir(parents=True)
    (folder / "letter.txt").write_text("hello")
    with pytest.raises(
        InputError, match=r"it' has other contents than a probe; choose a new or empty"
    ) as caught:
        make()
    assert caught.value.field == "out"
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]
    make("probed")
    copied = shutil.copytree(photos, tmp_path / "copied")
    with pytest.raises(InputError, match=r"probed' holds features that differ in data, layers; choose"):
        make("probed", data=copied, options={"layers": ["relu1"]})


def test_layers_are_selected_by_name_in_the_order_of_evaluation() -> None:
    assert select_layers(SPEC, [], has_classes=True) == LAYERS
    assert select_layers(SPEC, ["fc3", "pool1", "fc3"], has_classes=True) == ("pool1", "fc3")
    with pytest.raises(NotFound, match=r"layer 'relu9'") as caught:
        select_layers(SPEC, ["relu9"], has_classes=True)
    assert caught.value.field == "layers"


def test_without_scikit_learn_the_extra_is_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    with pytest.raises(MissingExtra, match=r"a probe needs zfscope\[probe\]: pip install 'zfscope\[probe\]'"):
        make()


def test_the_figure_is_not_a_photo_for_data_sets(make: Make, tmp_path: Path) -> None:
    make()
    make("one", per_class=(2,))
    wide, narrow = ((tmp_path / "out" / name / "probe.png").read_bytes() for name in ("it", "one"))
    assert skip_reason("probe.png", wide[:1000]) is not None
    assert int.from_bytes(wide[16:20]) == 2 * int.from_bytes(narrow[16:20])
    saved = json.loads((tmp_path / "out" / "it" / "probe.json").read_text())
    assert saved["features"]["origin"]["pooling"] == "max 3x3, signed root, rms 1"
    assert saved["features"]["origin"]["batch"] == scan_batches.BATCH
