"""`zfscope check-device`."""

import json
from collections.abc import Callable
from typing import Any

import onnxruntime
import pytest
import torch

Run = Callable[..., Any]


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds of the libraries for CPUs, on any machine."""
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])


def test_a_working_device_is_shown_as_a_table_with_exit_code_0(run: Run) -> None:
    result = run("check-device")
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout.startswith("device cpu, with tiny version 2")
    assert f"│ {torch.__version__}" in result.stdout
    assert "4 units of conv5: difference " in result.stdout
    assert "failed" not in result.stdout


def test_json_output_has_a_member_for_every_check(run: Run) -> None:
    result = run("check-device", "--json", "--version", 1)
    shown = json.loads(result.stdout)
    assert result.code == 0
    checks = shown.pop("checks")
    assert shown == {"device": "cpu", "model": "tiny", "version": 1, "works": True}
    assert checks[0] == {
        "check": "torch",
        "ok": True,
        "detail": torch.__version__,
        "difference": None,
        "time_s": None,
        "reason": "",
    }
    projection = next(check for check in checks if check["check"] == "projection")
    assert 0 < projection["difference"] < 1e-5


@pytest.mark.usefixtures("no_gpu")
def test_a_device_that_does_not_work_has_reasons_in_the_table_and_exit_code_1(run: Run) -> None:
    result = run("check-device", "--device", "cuda")
    assert (result.code, result.stderr) == (1, "")
    words = " ".join(result.stdout.replace("│", " ").split())
    assert f"CUDA in torch failed torch {torch.__version__} is a build without CUDA; install" in words
    assert "projection failed not run, because this failed: CUDA in torch" in words


@pytest.mark.usefixtures("no_gpu")
def test_the_reasons_are_in_the_json_output(run: Run) -> None:
    result = run("check-device", "--device", "cuda", "--json")
    shown = json.loads(result.stdout)
    assert (result.code, shown["works"]) == (1, False)
    assert all(check["ok"] or check["reason"] for check in shown["checks"])


def test_an_unreachable_torchserve_fails(run: Run) -> None:
    result = run("check-device", "--json", env={"ZFSCOPE_TORCHSERVE": "127.0.0.1:1"})
    failed = [check for check in json.loads(result.stdout)["checks"] if not check["ok"]]
    assert (result.code, len(failed)) == (1, 1)
    assert failed[0]["reason"].startswith("TorchServe at 127.0.0.1:1 is unreachable")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--model", "none"), "model 'none'"), (("--torchserve", "x"), "'x'")],
)
def test_an_error_before_the_checks_has_exit_code_2(
    run: Run, arguments: tuple[str, ...], message: str
) -> None:
    result = run("check-device", *arguments)
    assert (result.code, result.stdout) == (2, "")
    assert message in result.stderr
