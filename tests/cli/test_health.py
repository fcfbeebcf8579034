"""`zfscope health`."""

import json
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]


def test_a_service_that_serves_is_exit_code_0(run: Run, server: str) -> None:
    result = run("health", "--server", server)
    assert (result.code, result.stdout) == (0, "SERVING\n")


def test_a_program_gets_an_object(run: Run, server: str) -> None:
    result = run("health", "--server", server, "--json")
    assert json.loads(result.stdout) == {"server": server, "status": "SERVING"}


def test_a_service_that_does_not_serve_is_exit_code_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfscope.client.Client.health", lambda _: "NOT_SERVING")
    result = run("health")
    assert (result.code, result.stdout, result.stderr) == (1, "NOT_SERVING\n", "")


def test_a_service_that_is_not_there_is_exit_code_2(run: Run) -> None:
    result = run("health", "--server", "127.0.0.1:1")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("seconds", ["inf", "nan", "0", "1e9"])
def test_a_timeout_is_a_number_of_seconds_up_to_a_day(run: Callable[..., Any], seconds: str) -> None:
    result = run("health", "--timeout", seconds)
    assert result.code == 2
    assert "Invalid value for '--timeout'" in result.stderr
