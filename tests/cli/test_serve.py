"""`zfscope serve`: options, settings and errors. Other tests call a real service, the fixture `server`."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zfscope.server.self_check import CheckState, ServiceCheck
from zfscope.server.settings import Settings

Run = Callable[..., Any]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Settings of the services that would have been started; a stub replaces the service."""
    started: list[Settings] = []

    async def serve(settings: Settings, *, announce: Callable[[str], object]) -> None:
        started.append(settings)
        announce("zfscope listens on 127.0.0.1:1")

    monkeypatch.setattr("zfscope.server.app.serve", serve)
    for name in ("keep_freed_memory", "release_freed_memory_at_rest"):  # would affect the tests' process
        monkeypatch.setattr(f"zfscope.cli.serve.{name}", lambda *_: None)
    return started


def test_the_address_is_announced_on_stdout(run: Run, served: list[Settings]) -> None:
    result = run("serve")
    assert (result.code, result.stdout) == (0, "zfscope listens on 127.0.0.1:1\n")
    assert len(served) == 1


def test_options_become_settings(run: Run, served: list[Settings], store: Path, tmp_path: Path) -> None:
    options = ["--listen", "127.0.0.1:7", "--model", "tiny", "--runtime", "torch", "--device", "cuda"]
    run("serve", *options, "--threads", 3, "--cache", tmp_path)
    (settings,) = served
    assert settings.listen == "127.0.0.1:7"
    assert settings.default_model == "tiny"
    assert (settings.runtime, settings.device) == ("torch", "cuda")
    assert (settings.threads, settings.cache, settings.store) == (3, tmp_path, store)


def test_secrets_are_passed_as_files_only(run: Run, served: list[Settings], tmp_path: Path) -> None:
    files = ["tls-certificate", "tls-key", "tls-client-ca", "token-file"]
    run("serve", *(part for name in files for part in (f"--{name}", tmp_path / name)), "--allow-insecure")
    (settings,) = served
    assert [getattr(settings, name.replace("-", "_")) for name in files] == [
        tmp_path / name for name in files
    ]
    assert settings.allow_insecure
    assert run("serve", "--token", "0123456789abcdef").code == 2


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch, served: list[Settings]) -> list[Settings]:
    """Settings that were checked; a stub reports that the default model is damaged if runtime is torch."""
    checked: list[Settings] = []

    async def check_service(settings: Settings) -> list[ServiceCheck]:
        checked.append(settings)
        state = CheckState.failed if settings.runtime == "torch" else CheckState.warning
        return [ServiceCheck("model tiny 1", state, "details")]

    monkeypatch.setattr("zfscope.server.self_check.check_service", check_service)
    monkeypatch.setattr("zfscope.server.telemetry.log.configure_log", lambda *_: None)
    return checked


def test_a_check_prints_a_table_and_starts_no_service(
    run: Run, served: list[Settings], checked: list[Settings]
) -> None:
    result = run("serve", "--check", "--listen", "127.0.0.1:7")
    assert result.code == 0
    assert "the service can start" in result.stdout
    assert re.search(r"model tiny 1 +│ warning +│ details", result.stdout)
    assert (served, checked[0].listen) == ([], "127.0.0.1:7")


def test_a_failed_check_exits_with_1_and_is_an_object_with_json(run: Run, checked: list[Settings]) -> None:
    result = run("serve", "--check", "--runtime", "torch", "--json")
    assert result.code == 1
    assert json.loads(result.stdout) == {
        "works": False,
        "checks": [{"check": "model tiny 1", "result": "failed", "details": "details"}],
    }


@pytest.mark.usefixtures("checked")
def test_invalid_settings_are_a_failed_check(run: Run) -> None:
    result = run("serve", "--check", "--json", env={"ZFSCOPE_WORKERS": "0"})
    (check,) = json.loads(result.stdout)["checks"]
    assert (result.code, check["check"], check["result"]) == (1, "settings", "failed")
    assert check["details"] == "workers is '0': Input should be greater than 0"


def test_json_without_a_check_is_an_error(run: Run, served: list[Settings]) -> None:
    result = run("serve", "--json")
    assert (result.code, served) == (2, [])
    assert "--json requires --check" in result.stderr


def test_settings_without_an_option_come_from_the_environment(run: Run, served: list[Settings]) -> None:
    run("serve", env={"ZFSCOPE_LISTEN": "127.0.0.1:9", "ZFSCOPE_WORKERS": "5"})
    assert (served[0].listen, served[0].workers) == ("127.0.0.1:9", 5)


@pytest.mark.parametrize(
    ("options", "env", "message"),
    [
        (["--listen", "nowhere"], {}, "zfscope: listen is 'nowhere': "),
        ([], {"ZFSCOPE_WORKERS": "0"}, "zfscope: workers is '0': "),
        (["--store", "nowhere"], {}, "zfscope: no model store at 'nowhere': no such folder"),
    ],
)
def test_an_invalid_setting_is_reported_in_one_line(
    run: Run, served: list[Settings], options: list[str], env: dict[str, str], message: str
) -> None:
    result = run("serve", *options, env=env)
    assert (result.code, result.stdout, served) == (2, "", [])
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def test_a_port_in_use_is_reported_in_one_line(fork: Run, server: str) -> None:
    result = fork("serve", "--listen", server)
    assert (result.code, result.stdout) == (2, "")
    assert f"zfscope: cannot listen on {server}: " in result.stderr
    assert "Traceback" not in result.stderr


def test_an_insecure_public_address_is_rejected_in_one_line(fork: Run) -> None:
    result = fork("serve", "--listen", "0.0.0.0:0")
    assert (result.code, result.stdout) == (2, "")
    assert "zfscope: refusing to listen on 0.0.0.0:0 without TLS " in result.stderr
    assert "Traceback" not in result.stderr


def test_a_damaged_model_prevents_the_start_and_is_named(
    fork: Run, tmp_path: Path, write: Callable[..., Path]
) -> None:
    (write(tmp_path, 1) / "weights.safetensors").write_bytes(b"")
    result = fork("serve", "--listen", "127.0.0.1:0", "--store", tmp_path)
    assert result.code == 2
    assert (
        "zfscope: model 'tiny' version 1: 'weights.safetensors' does not match the manifest" in result.stderr
    )
    assert "Traceback" not in result.stderr
