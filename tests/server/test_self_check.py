"""The check before a start: each problem of a service is found without serving."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from zfscope.errors import BrokenPlugin
from zfscope.server import self_check
from zfscope.server.self_check import CheckState, ServiceCheck, check_service
from zfscope.server.settings import Settings, unknown_variables


@pytest.fixture(autouse=True)
def no_unknown_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, _ in list(unknown_variables()):
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def same_threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def check(settings: Settings, **changes: object) -> dict[str, ServiceCheck]:
    """Return the checks of changed settings, by name."""
    checks = asyncio.run(check_service(settings.model_copy(update=changes)))
    assert len({each.name for each in checks}) == len(checks)
    return {each.name: each for each in checks}


def failures(checks: dict[str, ServiceCheck]) -> dict[str, str]:
    return {each.name: each.details for each in checks.values() if each.state is not CheckState.ok}


def test_a_service_that_would_start_passes_every_check(settings: Settings, pems: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef")
    ports = {"health_listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0", "listen": "0.0.0.0:0"}
    checks = check(settings, **pems.server, token_file=token, **ports)
    assert failures(checks) == {}
    assert list(checks) == [
        *("settings", "credentials", "listen", "health_listen", "metrics_listen", "store", "analyzers"),
        *("model other 1", "model tiny 2", "model tiny 1"),
    ]
    assert checks["credentials"].details == "TLS, tokens"
    assert checks["model tiny 2"].details.endswith("the default")
    assert "project" in checks["analyzers"].details


def test_every_problem_is_found_at_once(
    settings: Settings, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZFSCOPE_STROE", "x")
    changes = {"listen": service.address, "token_file": tmp_path / "token", "analyzers": ("project", "guess")}
    found = failures(check(settings, **changes, store=tmp_path / "missing"))
    assert found["variable ZFSCOPE_STROE"] == "unknown, and ignored; did you mean ZFSCOPE_STORE?"
    assert found["credentials"] == f"'{tmp_path / 'token'}' cannot be read: No such file or directory"
    assert "cannot be read" in found["listen"]
    assert "'guess'" in found["analyzers"]
    assert "missing" in found["store"]
    in_use = failures(check(settings, listen=service.address))
    assert in_use["listen"] == (f"cannot listen on {service.address}: it is in use; choose another address")


def test_a_damaged_model_fails_and_the_others_pass(
    settings: Settings, write_tiny: Callable[..., None], tmp_path: Path
) -> None:
    for name in ("tiny", "weightless", "broken"):
        write_tiny(tmp_path, name, 1)
    (tmp_path / "weightless" / "1" / "weights.safetensors").write_bytes(b"")
    manifest = tmp_path / "broken" / "1" / "model.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format_version": 0}))
    checks = check(settings, store=tmp_path)
    assert set(failures(checks)) == {"model weightless 1", "model broken 1"}
    assert "does not match the manifest" in checks["model weightless 1"].details
    assert checks["model tiny 1"].state is CheckState.ok


def test_an_unknown_default_model_and_an_unavailable_runtime_are_failures(settings: Settings) -> None:
    assert "model 'huge' not found" in failures(check(settings, default_model="huge"))["default model"]
    unreachable = {"runtime": "torchserve", "torchserve": "127.0.0.1:1", "torchserve_timeout_s": 1}
    found = failures(check(settings, **unreachable))
    assert set(found) == {"model other 1", "model tiny 2", "model tiny 1"}


def test_a_broken_plugin_and_an_exception_of_its_own_are_failures(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, details in (
        (BrokenPlugin("analyzer 'x' is broken"), "analyzer 'x' is broken"),
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops"),
    ):

        def load(_: object, error: Exception = error) -> Any:
            raise error

        monkeypatch.setattr(self_check, "load_analyzers", load)
        assert failures(check(settings)) == {"analyzers": details}
