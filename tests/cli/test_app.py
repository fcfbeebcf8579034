"""The command line as a whole: help, errors, exit codes."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import typer

from zfscope.cli import app as module
from zfscope.cli import health as health_module
from zfscope.errors import AnalyzerFailed, InputError

Run = Callable[..., Any]
COMMANDS = sorted(typer.main.get_group(module.app).commands)


def test_the_commands_are_the_documented_ones() -> None:
    assert COMMANDS == [
        "activations",
        "analyze",
        "analyzers",
        "check-device",
        "classify",
        "compare",
        "evaluate",
        "evolve",
        "explain",
        "faithfulness",
        "gallery",
        "health",
        "index",
        "indexed-photo",
        "models",
        "page",
        "probe",
        "project",
        "run",
        "serve",
        "top-k",
        "train",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_shows_an_example(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.code == 0
    assert f"\n    zfscope {command}" in result.stdout


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    result = run()
    assert all(command in result.stdout + result.stderr for command in COMMANDS)


def test_the_help_imports_neither_torch_nor_grpc() -> None:
    heavy = ("torch", "onnxruntime", "grpc", "matplotlib")
    program = f"import sys, zfscope.cli; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def failing_with(error: Exception) -> Callable[..., None]:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            InputError("layer 'conv9' not found;\navailable: conv1"),
            "layer 'conv9' not found; available: conv1",
        ),
        (PermissionError(13, "Permission denied", "/x"), "'/x': Permission denied"),
        (AnalyzerFailed("it failed"), "it failed (set ZFSCOPE_TRACEBACK=1 to see the traceback)"),
        (
            ValueError("bad"),
            "ValueError: bad (a bug in zfscope; set ZFSCOPE_TRACEBACK=1 to see the traceback)",
        ),
    ],
)
def test_an_error_is_one_line_on_stderr_and_exit_code_2(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    monkeypatch.setattr(health_module, "print_json", failing_with(error))
    monkeypatch.setattr("zfscope.client.Client.health", lambda _: "SERVING")
    result = run("health", "--json")
    assert (result.code, result.stdout, result.stderr) == (2, "", f"zfscope: {line}\n")


@pytest.mark.parametrize("kind", [ValueError, AnalyzerFailed])
def test_a_failure_shows_its_traceback_on_request(
    run: Run, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    monkeypatch.setattr("zfscope.client.Client.health", failing_with(kind("out of range")))
    with pytest.raises(AssertionError, match="out of range"):
        run("health", env={"ZFSCOPE_TRACEBACK": "1"})


def test_an_unknown_option_is_a_usage_error(run: Run) -> None:
    result = run("models", "--colour")
    assert result.code == 2
    assert "No such option: --colour" in result.stderr


def test_an_error_of_the_installed_program_is_one_line_without_a_traceback(start: Run) -> None:
    result = start("classify", "nowhere.jpg")
    line = "zfscope: 'nowhere.jpg' cannot be read: No such file or directory\n"
    assert (result.code, result.stdout, result.stderr) == (2, "", line)


def test_the_program_is_called_zfscope(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["whatever", "--help"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("Usage: zfscope ")
