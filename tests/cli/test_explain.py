"""`zfscope explain`, in process and against a service."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Run = Callable[..., Any]
PARAMETERS = json.dumps({"occlude": {"window": 16, "stride": 16}, "project/guided": {"rule": "guided"}})
QUICK = (
    *("--methods", "occlude,project/guided", "--method-parameters", PARAMETERS),
    *("--step", "0.5", "--random", "1"),
)


def test_methods_are_compared_on_a_sheet(run: Run, photo: Path, tmp_path: Path) -> None:
    result = run("explain", photo, *QUICK, "--out", tmp_path)
    assert result.code == 0, result.stderr
    assert f"Figure: {tmp_path / 'blobs-explain.png'}" in result.stdout
    Image.open(tmp_path / "blobs-explain.png").verify()
    for word in ("Methods", "project/guided", "random orders", "Agreement", "Classes"):
        assert word in result.stdout


def test_a_service_compares_two_versions_of_a_model(
    run: Run, photo: Path, server: str, tmp_path: Path
) -> None:
    command = ["explain", photo, *QUICK, "--models", "tiny:1,tiny:2", "--label", "dog", "--json"]
    local = json.loads(run(*command, "--out", tmp_path / "local").stdout)
    remote = json.loads(run(*command, "--out", tmp_path / "remote", "--server", server).stdout)
    assert (local["model"], local["version"]) == ("tiny", 1)
    for ours, theirs in zip(local["tables"]["methods"], remote["tables"]["methods"], strict=True):
        assert (ours["model"], ours["method"]) == (theirs["model"], theirs["method"])
        assert ours["deletion_area"] == pytest.approx(theirs["deletion_area"], rel=1e-3)
    assert [row["model"] for row in local["tables"]["methods"]] == ["tiny:1"] * 3 + ["tiny:2"] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "occlud"], "analyzer 'occlud' not found; available: "),
        (["--methods", " , "], "--methods ' , ' names no method; name analyzers such as occlude,project"),
        (["--models", "a,b,c"], "--models names 3 models; allowed: one or two"),
        (["--models", "tiny,tiny:x"], "'tiny:x' is not a valid model; use NAME or NAME:VERSION"),
        (["--models", "tiny,wide"], "model 'wide' not found"),
        (
            ["--methods", "occlude", "--method-parameters", '{"occlude": {"stride": 0}}'],
            "method_parameters.occlude.stride is 0: Input should be greater than 0",
        ),
    ],
)
def test_errors_are_one_line(run: Run, photo: Path, tmp_path: Path, options: list[str], message: str) -> None:
    result = run("explain", photo, *options, "--out", tmp_path / "out")
    assert result.code == 2
    assert message in result.stderr
