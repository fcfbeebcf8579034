"""The options of a connection: TLS, a certificate, a token, on every command that may ask a service."""

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
def proof(secrets: Path) -> dict[str, Path]:
    """What the secure service asks for, by its settings."""
    pair = secrets / "client@zfscope.test.pem"
    return dict(zip(FILES, (secrets / "ca.pem", pair, pair, secrets / "token"), strict=True))


@pytest.mark.parametrize(
    "command",
    [
        ["classify"],
        ["project"],
        ["analyze", "project", "--out", "seen"],
        ["analyzers"],
        ["models"],
        ["health"],
    ],
)
def test_a_command_proves_itself_to_the_service(
    run: Run,
    secure_server: str,
    proof: dict[str, Path],
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    photos = [photo] if command[0] in ("classify", "project", "analyze") else []
    words = [*command[:2], *photos, *command[2:], "--server", secure_server, "--json"]
    options = [word for name, path in proof.items() for word in (flag(name), path)]

    result = run(*words, *options)

    assert (result.code, result.stderr) == (0, "")
    assert json.loads(result.stdout)
    assert connection_options() == {}


def test_the_same_may_come_from_the_environment(run: Run, secure_server: str, proof: dict[str, Path]) -> None:
    env = {f"ZFSCOPE_{name.upper()}": str(path) for name, path in proof.items()}

    assert run("models", "--server", secure_server, env=env).code == 0


def test_without_its_token_a_command_is_told_in_one_line(
    run: Run, secure_server: str, proof: dict[str, Path]
) -> None:
    options = [word for name in list(FILES)[:3] for word in (flag(name), proof[name])]

    result = run("models", "--server", secure_server, *options)

    assert result.code == 2
    assert result.stderr.startswith("zfscope: token missing; ")
    assert result.stderr.count("\n") == 1


def test_health_needs_no_token(run: Run, secure_server: str, proof: dict[str, Path]) -> None:
    options = [word for name in list(FILES)[:3] for word in (flag(name), proof[name])]

    assert run("health", "--server", secure_server, *options).stdout == "SERVING\n"


def test_every_command_that_asks_a_service_takes_the_options() -> None:
    group = typer.main.get_group(app)
    commands = [*group.commands.values(), *group.commands["models"].commands.values()]
    options = {command.name: {option.name for option in command.params} for command in commands}
    asking = [names for names in options.values() if "server" in names]

    assert len(asking) == 8
    assert all({"tls", *FILES} <= names for names in asking)
