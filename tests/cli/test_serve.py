"""`zfscope serve`: options, settings and errors. Other tests call a real service, the fixture `server`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
    monkeypatch.setattr(
        "zfscope.cli.serve.return_freed_memory", lambda: None
    )  # would affect the tests' process
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


def test_a_port_in_use_is_reported_in_one_line(start: Run, server: str) -> None:
    result = start("serve", "--listen", server)
    assert (result.code, result.stdout) == (2, "")
    assert f"zfscope: cannot listen on {server}: " in result.stderr
    assert "Traceback" not in result.stderr


def test_an_insecure_public_address_is_rejected_in_one_line(start: Run) -> None:
    result = start("serve", "--listen", "0.0.0.0:0")
    assert (result.code, result.stdout) == (2, "")
    assert "zfscope: refusing to listen on 0.0.0.0:0 without TLS " in result.stderr
    assert "Traceback" not in result.stderr


def test_a_damaged_model_prevents_the_start_and_is_named(
    start: Run, tmp_path: Path, write: Callable[..., Path]
) -> None:
    (write(tmp_path, 1) / "weights.safetensors").write_bytes(b"")
    result = start("serve", "--listen", "127.0.0.1:0", "--store", tmp_path)
    assert result.code == 2
    assert (
        "zfscope: model 'tiny' version 1: 'weights.safetensors' does not match the manifest" in result.stderr
    )
    assert "Traceback" not in result.stderr
