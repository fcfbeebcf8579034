"""Connection options (TLS, certificate, token) of every command that can call a service."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from zfscope.cli.app import app
from zfscope.cli.command import FILES, connection_options, flag

Run = Callable[..., Any]


@pytest.fixture
def credentials(secrets: Path) -> dict[str, Path]:
    """Files that the secure service requires, by setting."""
    pair = secrets / "client@zfscope.test.pem"
    return dict(zip(FILES, (secrets / "ca.pem", pair, pair, secrets / "token"), strict=True))


@pytest.mark.parametrize(
    "command",
    [
        ["classify"],
        ["project"],
        ["analyze", "project", "--out", "out"],
        ["analyzers"],
        ["models"],
        ["health"],
    ],
)
def test_a_command_authenticates_with_certificate_and_token(
    run: Run,
    secure_server: str,
    credentials: dict[str, Path],
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    photos = [photo] if command[0] in ("classify", "project", "analyze") else []
    arguments = [*command[:2], *photos, *command[2:], "--server", secure_server, "--json"]
    options = [part for name, path in credentials.items() for part in (flag(name), path)]

    result = run(*arguments, *options)

    assert (result.code, result.stderr) == (0, "")
    assert json.loads(result.stdout)
    assert connection_options() == {}


def test_credentials_can_be_set_in_the_environment(
    run: Run, secure_server: str, credentials: dict[str, Path]
) -> None:
    env = {f"ZFSCOPE_{name.upper()}": str(path) for name, path in credentials.items()}

    assert run("models", "--server", secure_server, env=env).code == 0


def test_a_missing_token_is_reported_in_one_line(
    run: Run, secure_server: str, credentials: dict[str, Path]
) -> None:
    options = [part for name in list(FILES)[:3] for part in (flag(name), credentials[name])]

    result = run("models", "--server", secure_server, *options)

    assert result.code == 2
    assert result.stderr.startswith("zfscope: token missing; ")
    assert result.stderr.count("\n") == 1


def test_health_requires_no_token(run: Run, secure_server: str, credentials: dict[str, Path]) -> None:
    options = [part for name in list(FILES)[:3] for part in (flag(name), credentials[name])]

    assert run("health", "--server", secure_server, *options).stdout == "SERVING\n"


def test_every_command_with_a_server_option_has_the_connection_options() -> None:
    group = typer.main.get_group(app)
    commands = [*group.commands.values(), *group.commands["models"].commands.values()]
    options = {command.name: {option.name for option in command.params} for command in commands}
    remote = {command: names for command, names in options.items() if "server" in names}

    assert {"classify", "project", "indexed-photo", "health", "page"} < remote.keys()
    # Those of `page` have a prefix: it also has a certificate and tokens of its own.
    assert {f"server_{name}" for name in ("tls", *FILES)} <= remote.pop("page")
    assert all({"tls", *FILES} <= names for names in remote.values())
