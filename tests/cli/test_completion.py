"""Shell completion, through the protocol of `zfscope --show-completion`."""

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


def completion_variables(*words: object) -> dict[str, str]:
    """Return the variables that bash sets to complete the last of these words."""
    line = ["zfscope", *map(str, words)]
    joined = " ".join(shlex.quote(word) if word else "" for word in line)
    return {"_ZFSCOPE_COMPLETE": "complete_bash", "COMP_WORDS": joined, "COMP_CWORD": str(len(line) - 1)}


@pytest.fixture
def complete(environment: dict[str, str]) -> Complete:
    """Completes the last word of a command line as bash does."""

    def complete_words(*words: object) -> list[str]:
        result = CliRunner().invoke(
            app, env={**environment, **completion_variables(*words)}, prog_name="zfscope"
        )
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout.split()

    return complete_words


def test_commands_are_completed_from_their_table(complete: Complete) -> None:
    assert complete("ev") == ["evolve", "evaluate"]
    assert complete("") == list(COMMANDS)


def test_options_and_choices_of_a_command_are_completed(complete: Complete) -> None:
    assert complete("project", "--to") == ["--top", "--token-file"]
    assert complete("project", "--token", "--rule", "g") == ["guided", "gradient"]
    assert complete("project", "--tls-c") == ["--tls-ca", "--tls-client-certificate", "--tls-client-key"]


def test_analyzer_names_are_completed_without_importing_analyzers(
    complete: Complete, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EntryPoint, "load", None)
    assert complete("analyze", "co") == ["compare-architectures", "correspond"]
    assert set(complete("analyze", "")) >= {"correspond", "invariance", "occlude", "project", "top-k"}


@pytest.mark.parametrize("remote", [False, True])
def test_options_and_choices_of_an_analyzer_are_completed(
    complete: Complete, server: str, photo: Path, remote: bool
) -> None:
    words = ["analyze", "occlude", photo, *(["--server", server] if remote else [])]
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
def test_an_unknown_analyzer_or_unreachable_service_yields_no_completions(
    complete: Complete, words: tuple[str, ...]
) -> None:
    assert complete(*words) == []


def test_prints_of_an_analyzer_do_not_become_completions(
    complete: Complete, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loud(*, group: str) -> list[EntryPoint]:
        print("hello from a package")  # noqa: T201  (as an analyzer may do)
        return []

    monkeypatch.setattr(registry, "entry_points", loud)
    result = CliRunner().invoke(
        app, env=completion_variables("analyze", "occlude", "--win"), prog_name="zfscope"
    )
    assert (result.exit_code, result.stdout) == (0, "\n")
    assert result.stderr == "hello from a package\n"


def test_without_the_engine_names_and_the_options_of_a_service_are_completed(
    environment: dict[str, str], server: str
) -> None:
    for words, expected in (
        (("analyze", "occ"), ["occlude"]),
        (("analyze", "occlude", "--win"), []),
        (("analyze", "occlude", "--server", server, "--win"), ["--window"]),
    ):
        shown = run_without_engine(
            "from zfscope.cli import main; main()", env={**environment, **completion_variables(*words)}
        )
        assert shown.split() == expected


def test_the_script_for_a_shell_is_printed(start: Callable[..., Any]) -> None:
    result = start("--show-completion", "bash", env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert "_ZFSCOPE_COMPLETE=complete_bash" in result.stdout
    assert "complete -o default -F" in result.stdout
    completed = start(env=completion_variables("analyze", "occ"))
    assert (completed.code, completed.stdout, completed.stderr) == (0, "occlude\n", "")
