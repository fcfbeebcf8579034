"""The archive of a model, and the configuration written next to it."""

import json
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.support.programs import require_module
from zfscope.errors import InputError, RuntimeUnavailable
from zfscope.runtimes.torchserve import archive
from zfscope.runtimes.torchserve.archive import SETTINGS, Batching, write_archive
from zfscope.store import Model


@pytest.fixture(scope="module", autouse=True)
def _archiver() -> None:
    require_module("model_archiver", "pip install torch-model-archiver")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "archives" / "tiny.mar"


def test_an_archive_contains_only_the_model_and_its_handler(
    models: Mapping[str, Model], target: Path
) -> None:
    model = models["zfnet-imagenette"]
    write_archive(model, target, Batching())
    with zipfile.ZipFile(target) as archive_file:
        assert set(archive_file.namelist()) == {
            "MAR-INF/MANIFEST.json",
            "model-config.yaml",
            "zfscope_handler.py",
            "zfnet-imagenette/2/model.json",
            "zfnet-imagenette/2/weights.safetensors",
        }
        entry = json.loads(archive_file.read("MAR-INF/MANIFEST.json"))["model"]
    assert entry == {
        "modelName": "zfnet-imagenette",
        "modelVersion": "2",
        "handler": "zfscope_handler.py",
        "configFile": "model-config.yaml",
    }


def test_batching_is_part_of_the_configuration(tiny: Model, target: Path) -> None:
    write_archive(tiny, target, Batching(size=16, delay_ms=5, workers=2))
    with zipfile.ZipFile(target) as archive_file:
        configuration = yaml.safe_load(archive_file.read("model-config.yaml"))
    assert configuration == {"minWorkers": 2, "maxWorkers": 2, "batchSize": 16, "maxBatchDelay": 5}


def test_the_number_of_workers_may_be_left_to_torchserve(tiny: Model, target: Path) -> None:
    write_archive(tiny, target, Batching(size=16, delay_ms=5, workers=None))
    with zipfile.ZipFile(target) as archive_file:
        configuration = yaml.safe_load(archive_file.read("model-config.yaml"))
    assert configuration == {"batchSize": 16, "maxBatchDelay": 5}


def test_directories_of_others_are_not_removed(tiny: Model, target: Path) -> None:
    """By default, the archiver removes a directory `tiny` in the system's temporary directory."""
    other = Path(tempfile.gettempdir()) / "tiny"
    is_new = not other.exists()
    other.mkdir(exist_ok=True)
    try:
        write_archive(tiny, target, Batching())
        assert other.is_dir()
    finally:
        if is_new:
            other.rmdir()


def test_an_existing_archive_is_not_overwritten(tiny: Model, target: Path) -> None:
    target.parent.mkdir()
    target.write_text("mine")
    with pytest.raises(InputError, match=r"tiny.mar' already exists") as caught:
        write_archive(tiny, target, Batching())
    assert caught.value.field == "out"
    assert target.read_text() == "mine"


def test_an_existing_configuration_is_not_overwritten(tiny: Model, target: Path) -> None:
    target.parent.mkdir()
    (target.parent / SETTINGS).write_text("mine")
    write_archive(tiny, target, Batching())
    assert (target.parent / SETTINGS).read_text() == "mine"


def test_the_configuration_binds_all_apis_to_this_machine(tiny: Model, target: Path) -> None:
    write_archive(tiny, target, Batching())
    lines = (target.parent / SETTINGS).read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    addresses = {name: value for name, value in settings.items() if name.endswith("_address")}
    assert set(addresses) == {
        f"{api}_address"
        for api in ("inference", "management", "metrics", "grpc_inference", "grpc_management")
    }
    assert {value.removeprefix("http://").partition(":")[0] for value in addresses.values()} == {"127.0.0.1"}
    assert settings["allowed_urls"] == "file://.*"


def test_a_missing_archiver_is_reported_with_the_package_to_install(
    tiny: Model, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeUnavailable, match=r"pip install 'zfscope\[torchserve\]'"):
        write_archive(tiny, target, Batching())


def test_an_error_of_the_archiver_is_reported(
    tiny: Model, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_ARCHIVER", "model_archiver.none")
    with pytest.raises(RuntimeUnavailable, match=r"torch-model-archiver failed: .*No module named"):
        write_archive(tiny, target, Batching())
    assert not target.exists()


def test_the_exit_code_of_an_archiver_without_output_is_reported(
    tiny: Model, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = subprocess.CompletedProcess("archiver", -9, "", "")
    monkeypatch.setattr(archive.subprocess, "run", lambda *_, **__: killed)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeUnavailable, match=r"archiver failed: exit code -9$"):
        write_archive(tiny, target, Batching())
    assert not target.exists()
