"""`zfscope index`."""

import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.cli.conftest import SPEC
from zfscope.cli import index as module
from zfscope.cli.index import index_name
from zfscope.errors import InputError, NotFound
from zfscope.networks import build
from zfscope.scan import open_index
from zfscope.store import ModelStore

Run = Callable[..., Any]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five photos in each of two folders, and a broken one."""
    generator = np.random.default_rng(3)
    for label in ("n0", "n2"):
        (tmp_path / "Val Photos" / label).mkdir(parents=True)
        for number in range(5):
            blobs = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            photo = Image.fromarray(blobs).resize((44, 40), Image.Resampling.BICUBIC)
            photo.save(tmp_path / "Val Photos" / label / f"{number}.png")
    (tmp_path / "Val Photos" / "n2" / "broken.jpg").write_text("not a photo")
    return tmp_path / "Val Photos"


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Folder of the test's indexes, since the store is shared."""
    return tmp_path / "indexes"


def test_json_output_has_the_counts(run: Run, photos: Path, out: Path) -> None:
    result = run("index", photos, "--model", "tiny", "--layers", "conv5,conv1", "--out", out, "--json")
    answer = json.loads(result.stdout)
    layers = answer.pop("layers")
    assert answer == {
        "folder": str(out / "val-photos"),
        "index": "val-photos",
        "model": "tiny",
        "version": 2,
        "images": 10,
        "skipped": 1,
        "top": 9,
        "rank": "max",
        "precision": "float32",
        "passed_over": {},
    }
    assert list(layers) == ["conv1", "conv5"]
    assert {name: layer["maps"] for name, layer in layers.items()} == {"conv1": 6, "conv5": 12}
    assert result.stderr == ""


def test_classes_with_similar_names_are_reported(run: Run, photos: Path, out: Path) -> None:
    (photos / "N2").mkdir()
    (photos / "N2" / "0.png").write_bytes((photos / "n2" / "0.png").read_bytes())
    result = run("index", photos, "--model", "tiny", "--layers", "conv1", "--out", out, "--json")
    assert result.stderr == (
        "zfscope: warning: classes 'N2', 'n2' differ only in case, spaces or Unicode normalisation; "
        "merge them if they are the same\n"
    )


def test_text_output_has_a_table_and_the_location_of_the_index(run: Run, photos: Path, out: Path) -> None:
    text = run("index", photos, "--model", "tiny", "--out", out).stdout
    assert all(f"conv{number} " in text for number in range(1, 6))
    assert (
        f"10 photos; 1 could not be used, see skipped.parquet. Index written to {out / 'val-photos'}" in text
    )


def test_ignored_files_are_counted_by_kind(run: Run, photos: Path, out: Path) -> None:
    (photos / ".ipynb_checkpoints").mkdir()
    (photos / "n0" / "notes.txt").write_text("x")
    (photos / "n0" / "loop").symlink_to(photos / "n0" / "loop")
    command = ["index", photos, "--model", "tiny", "--layers", "conv5", "--out", out]
    answer = json.loads(run(*command, "--json").stdout)
    assert answer["passed_over"] == {"hidden": 1, "loop": 1, "other": 1}
    assert (
        "10 photos; 1 could not be used, see skipped.parquet; skipped: 1 hidden file or folder, "
        "1 circular link ('n0/loop'), 1 file that is not an image (.txt). Index written to "
    ) in run(*command).stdout


def test_options_select_layers_top_rank_name_and_version(
    run: Run, photos: Path, store: Path, out: Path
) -> None:
    options = ("--layers", "fc6", "--top", 3, "--rank", "sum", "--name", "mine", "--version", 1)
    assert run("index", photos, "--model", "tiny", "--out", out, *options).code == 0
    index = open_index(ModelStore(store).load("tiny", 1), "mine", folder=out)
    origin = index.manifest.origin
    assert (index.layers, origin.top, origin.rank, origin.model.version) == (("fc6",), 3, "sum", 1)


def test_the_index_is_written_to_the_folder_of_the_model_by_default(
    run: Run, photos: Path, tmp_path: Path, write: Callable[..., Path]
) -> None:
    folder = write(tmp_path / "models", 1)
    assert run("index", photos, "--model", "tiny", "--store", tmp_path / "models").code == 0
    assert (folder / "indexes" / "val-photos" / "index.json").is_file()
    assert run("models", "--verify", "--store", tmp_path / "models").code == 0
    (folder / "indexes" / "val-photos" / "maps.parquet").unlink()
    result = run("models", "--verify", "--store", tmp_path / "models")
    assert result.code == 2
    assert "index 'val-photos'" in result.stderr


def test_a_tar_and_a_list_are_indexed_like_the_folder(
    run: Run, photos: Path, store: Path, tmp_path: Path, out: Path
) -> None:
    with tarfile.open(tmp_path / "packed.tar", "w") as packed:
        packed.add(photos, "photos")
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.*"))
    (photos / "listed.txt").write_text("".join(f"{name}\t{name[:2]}\n" for name in names))
    model = ModelStore(store).load("tiny")
    results = []
    for data in (photos, tmp_path / "packed.tar", photos / "listed.txt"):
        answer = run("index", data, "--model", "tiny", "--layers", "conv5", "--out", out, "--json")
        index = open_index(model, json.loads(answer.stdout)["index"], folder=out)
        records = [record for unit in range(12) for record in index.records("conv5", unit)]
        results.append([(record.value, record.label, record.blake2b, record.y) for record in records])
    assert results[0] == results[1] == results[2]
    assert {label for _, label, _, _ in results[0]} == {"n0", "n2"}


def test_an_existing_index_is_reused(run: Run, photos: Path, out: Path) -> None:
    first = run("index", photos, "--model", "tiny", "--out", out, "--json")
    assert run("index", photos, "--model", "tiny", "--out", out, "--json").stdout == first.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "conv9"], "layer 'conv9' not found; available: conv1, "),
        (["--top", "0"], "top is 0; allowed: 1 to 256"),
        (["--top", "1000000"], "top is 1000000; allowed: 1 to 256"),
        (["--name", "../up"], "name '../up' must match "),
        (["--version", "7"], "model 'tiny' has no version 7"),
        (
            ["--out", "/dev/null"],
            "the index cannot be written to '/dev/null/val-photos': Not a directory; choose",
        ),
    ],
)
def test_an_invalid_option_is_reported_in_one_line(
    run: Run, photos: Path, out: Path, options: list[str], message: str
) -> None:
    result = run("index", photos, "--model", "tiny", "--out", out, *options)
    assert (result.code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "data set '"),
        (lambda path: path.mkdir(), "' contains no photos (.avif, "),
        (lambda path: path.write_text("some text"), "lists 1 photo, none of which exists"),
        (lambda path: path.write_bytes(b"\0" * 7), "is not a folder, a tar, or a text or Parquet file"),
    ],
)
def test_invalid_data_is_reported_in_one_line(
    run: Run, tmp_path: Path, out: Path, make: Callable[[Path], Any], message: str
) -> None:
    make(tmp_path / "data")
    result = run("index", tmp_path / "data", "--model", "tiny", "--out", out)
    assert (result.code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_checkpoint_can_be_indexed(
    run: Run, photos: Path, out: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    early = tmp_path / "early.safetensors"
    layers = build(SPEC, generator=torch.Generator().manual_seed(40)).filters.items()
    save_file(
        {
            f"{name}.{part}": tensor.contiguous()
            for name, filters in layers
            if name.startswith("conv")
            for part, tensor in filters.state_dict().items()
        },
        early,
    )
    store = tmp_path / "store"
    write(store, 1, checkpoints={2: early})
    command = ["index", photos, "--model", "tiny", "--out", out, "--store", store, "--json"]
    final = json.loads(run(*command).stdout)
    answer = json.loads(run(*command, "--checkpoint", 2).stdout)
    assert (final["index"], answer["index"]) == ("val-photos", "val-photos-epoch-002")
    models = ModelStore(store)
    early_index = open_index(models.load_checkpoint("tiny", 2), "val-photos-epoch-002", folder=out)
    final_index = open_index(models.load("tiny"), "val-photos", folder=out)
    assert [record.value for record in early_index.records("conv5", 3)] != [
        record.value for record in final_index.records("conv5", 3)
    ]
    with pytest.raises(NotFound, match="it differs in weights_sha256"):
        open_index(models.load("tiny"), "val-photos-epoch-002", folder=out)
    result = run(*command, "--checkpoint", 3)
    assert result.code == 2
    assert "model 'tiny' version 1 has no checkpoint of epoch 3; available: 2" in result.stderr


@pytest.mark.parametrize(
    ("data", "name"),
    [("photos/Val 2012", "val-2012"), ("x/ILSVRC.tar", "ilsvrc"), ("list.of.photos.txt", "list.of.photos")],
)
def test_an_index_is_named_after_its_data(tmp_path: Path, data: str, name: str) -> None:
    path = tmp_path / data
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch() if path.suffix else path.mkdir()
    assert index_name("", path) == name
    assert index_name("", path, 7) == f"{name}-epoch-007"
    assert index_name("mine", path, 7) == "mine"


def test_a_data_set_whose_name_is_invalid_requires_a_name_option(tmp_path: Path) -> None:
    (tmp_path / "_").mkdir()
    with pytest.raises(InputError, match=r"name '_' must match .*; choose another with --name"):
        index_name("", tmp_path / "_")


def test_a_terminal_shows_the_progress(
    run: Run, photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[float, float | None]] = []

    def recording(*columns: Any) -> Any:
        from zfscope.cli.output import Speed, progress

        bar = progress(*columns)
        assert any(isinstance(column, Speed) for column in columns)
        update = bar.update

        def recorded(task: Any, **changes: Any) -> None:
            update(task, **changes)
            shown.append((bar.tasks[0].completed, bar.tasks[0].total))

        bar.update = recorded  # type: ignore[method-assign]
        return bar

    monkeypatch.setattr(module, "progress", recording)
    assert run("index", photos, "--model", "tiny", "--out", out).code == 0
    assert shown == [(0, 11), (11, 11)]


@pytest.mark.skipif(torch.cuda.is_available(), reason="requires a machine without CUDA")
@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_an_unavailable_device_is_rejected(run: Run, photos: Path, tmp_path: Path, runtime: str) -> None:
    options = ("--model", "tiny", "--out", tmp_path / "out", "--runtime", runtime, "--device", "cuda")
    result = run("index", photos, *options)
    assert result.code == 2
    assert result.stderr.startswith(f"zfscope: runtime '{runtime}' cannot use CUDA")
    assert result.stderr.count("\n") == 1


def test_an_index_names_its_precision_and_is_not_resumed_in_another(
    run: Run, photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zfscope.runtimes.precision.has_bfloat16", lambda device: True)
    options = ("index", photos, "--model", "tiny", "--out", out, "--name", "rough", "--runtime", "torch")
    assert run(*options, "--precision", "bfloat16").code == 0
    manifest = json.loads((out / "rough" / "index.json").read_text())
    origin = manifest["origin"]
    assert (origin["runtime"], origin["precision"]) == ("torch", "bfloat16")
    result = run(*options)
    assert result.code == 2
    assert "is an index that differs in precision" in result.stderr


def test_models_can_be_compared_with_indexes_outside_the_store(
    run: Run, photos: Path, photo: Path, out: Path, tmp_path: Path
) -> None:
    for version in (1, 2):
        location = ["--version", version, "--out", out / "tiny" / str(version)]
        assert (
            run("index", photos, "--model", "tiny", "--layers", "conv1", *location, "--name", "mine").code
            == 0
        )
    command = ["compare", photo, "--models", "tiny:1,tiny:2", "--indexes", out, "--out", tmp_path / "out"]
    compared = run(*command, "--index", "mine", "--json")
    assert (compared.code, compared.stderr) == (0, "")
    measures = [row["measure"] for row in json.loads(compared.stdout)["tables"]["architectures"]]
    plain = run("compare", photo, "--models", "tiny:1,tiny:2", "--out", tmp_path / "plain", "--json")
    others = [row["measure"] for row in json.loads(plain.stdout)["tables"]["architectures"]]
    assert set(others) < set(measures)
    missing = run(*command, "--index", "other")
    assert (
        f"index 'other' of model 'tiny' version 1 not found in '{out}/tiny/1'; available: mine"
        in missing.stderr
    )
    unnamed = run(*command)
    assert (unnamed.code, unnamed.stderr) == (2, "zfscope: --indexes requires --index NAME\n")


def test_an_analyzer_can_read_indexes_outside_the_store(
    run: Run, photos: Path, out: Path, tmp_path: Path
) -> None:
    assert run("index", photos, "--model", "tiny", "--layers", "conv1", "--out", out).code == 0
    options = ["--layer", "conv1", "--count", 1, "--indexes", out, "--json", "--out", tmp_path / "top"]
    result = run("analyze", "top-k", *options)
    assert (result.code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["tables"]["maps"]
