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
