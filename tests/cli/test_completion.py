"""What a shell offers to complete, by the protocol that `zfscope --show-completion` installs."""

import shlex
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.without_engine import run_without_engine
from zfscope.analysis import registry
from zfscope.cli.app import COMMANDS, app

Complete = Callable[..., list[str]]


def asking(*words: object) -> dict[str, str]:
    """Return what bash sets in the environment to complete the last of some words."""
    line = ["zfscope", *map(str, words)]
    joined = " ".join(shlex.quote(word) if word else "" for word in line)
    return {"_ZFSCOPE_COMPLETE": "complete_bash", "COMP_WORDS": joined, "COMP_CWORD": str(len(line) - 1)}


@pytest.fixture
def complete(environment: dict[str, str]) -> Complete:
    """Completes words as bash would."""

    def complete_words(*words: object) -> list[str]:
        result = CliRunner().invoke(app, env={**environment, **asking(*words)}, prog_name="zfscope")
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout.split()

    return complete_words


def test_commands_are_completed_from_their_table(complete: Complete) -> None:
    assert complete("ev") == ["evolve", "evaluate"]
    assert complete("") == list(COMMANDS)


def test_options_of_a_command_and_their_choices_are_completed(complete: Complete) -> None:
    assert complete("project", "--to") == ["--top", "--token-file"]
    assert complete("project", "--token", "--rule", "g") == ["guided", "gradient"]
    assert complete("project", "--tls-c") == ["--tls-ca", "--tls-client-certificate", "--tls-client-key"]


def test_names_of_analyzers_are_completed_and_none_is_imported(
    complete: Complete, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EntryPoint, "load", None)
    assert complete("analyze", "co") == ["compare-architectures", "correspond"]
    assert set(complete("analyze", "")) >= {"correspond", "invariance", "occlude", "project", "top-k"}


@pytest.mark.parametrize("there", [False, True])
def test_options_of_an_analyzer_and_their_choices_are_completed(
    complete: Complete, server: str, photo: Path, there: bool
) -> None:
    words = ["analyze", "occlude", photo, *(["--server", server] if there else [])]
    assert sorted(complete(*words, "--m")) == ["--map", "--masks", "--method", "--model"]
    assert complete(*words, "--value", "") == ["probability", "logit"]
    assert complete(*words, "--no-c") == ["--no-control"]
    assert complete("analyze", "invariance", *words[2:], "--transformations", "s") == ["scale"]


def test_an_analyzer_is_completed_without_a_model(
    complete: Complete, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("zfscope.local.LocalClient", None)
    assert complete("analyze", "occlude", "--store", tmp_path / "nowhere", "--win") == ["--window"]


@pytest.mark.parametrize(
    "words",
    [
        ("analyze", "nothing", "--win"),
        ("analyze", "occlude", "--server", "localhost:1", "--win"),
        ("analyze", "occlude", "--tls-ca", "nowhere.pem", "--server", "localhost:1", "--win"),
    ],
)
def test_what_cannot_be_asked_offers_nothing(complete: Complete, words: tuple[str, ...]) -> None:
    assert complete(*words) == []


def test_an_analyzer_that_prints_when_it_is_imported_spoils_nothing(
    complete: Complete, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loud(*, group: str) -> list[EntryPoint]:
        print("hello from a package")  # noqa: T201  # what analyzers do
        return []

    monkeypatch.setattr(registry, "entry_points", loud)
    result = CliRunner().invoke(app, env=asking("analyze", "occlude", "--win"), prog_name="zfscope")
    assert (result.exit_code, result.stdout) == (0, "\n")
    assert result.stderr == "hello from a package\n"


def test_without_the_engine_names_are_completed_and_options_of_a_service(
    environment: dict[str, str], server: str
) -> None:
    for words, offered in (
        (("analyze", "occ"), ["occlude"]),
        (("analyze", "occlude", "--win"), []),
        (("analyze", "occlude", "--server", server, "--win"), ["--window"]),
    ):
        shown = run_without_engine(
            "from zfscope.cli import main; main()", env={**environment, **asking(*words)}
        )
        assert shown.split() == offered


def test_the_script_for_a_shell_is_printed(start: Callable[..., Any]) -> None:
    result = start("--show-completion", "bash", env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert "_ZFSCOPE_COMPLETE=complete_bash" in result.stdout
    assert "complete -o default -F" in result.stdout
    completed = start(env=asking("analyze", "occ"))
    assert (completed.code, completed.stdout, completed.stderr) == (0, "occlude\n", "")
