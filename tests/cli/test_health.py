"""`zfscope health`."""

import json
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]


def test_the_exit_code_of_a_serving_service_is_0(run: Run, server: str) -> None:
    result = run("health", "--server", server)
    assert (result.code, result.stdout) == (0, "SERVING\n")


def test_json_output_is_an_object(run: Run, server: str) -> None:
    result = run("health", "--server", server, "--json")
    assert json.loads(result.stdout) == {"server": server, "status": "SERVING"}


def test_the_exit_code_of_a_service_that_is_not_serving_is_1(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zfscope.client.Client.health", lambda _: "NOT_SERVING")
    result = run("health")
    assert (result.code, result.stdout, result.stderr) == (1, "NOT_SERVING\n", "")


def test_the_exit_code_of_an_unreachable_service_is_2(run: Run) -> None:
    result = run("health", "--server", "127.0.0.1:1")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("seconds", ["inf", "nan", "0", "1e9"])
def test_a_timeout_outside_0_to_86400_seconds_is_rejected(run: Callable[..., Any], seconds: str) -> None:
    result = run("health", "--timeout", seconds)
    assert result.code == 2
    assert "Invalid value for '--timeout'" in result.stderr
