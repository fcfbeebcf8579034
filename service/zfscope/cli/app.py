"""Commands of the command line, and the conversion of errors to a message and an exit code."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import typer

from zfscope.cli.command import CommandEntry, LazyGroup
from zfscope.cli.streams import (
    BROKEN_PIPE_EXIT,
    OutputLost,
    echo,
    escape_unencodable,
    guard_streams,
)
from zfscope.cli.warn import show_warnings
from zfscope.errors import AnalyzerFailed, InputError, ZfscopeError
from zfscope.extras import engine_needed
from zfscope.processors import limit_openmp
from zfscope.termination import exit_code, terminate_as_ctrl_c
from zfscope.text import one_line

ERROR_EXIT = 2
INTERRUPTED_EXIT = 130
_HINT = "set ZFSCOPE_TRACEBACK=1 to see the traceback"
_EXPECTED = (ZfscopeError, OSError, OutputLost)


# Commands in the order of the help, each with the first sentence of its help text.
_SUMMARIES = {
    "classify": "Classify photos.",
    "project": "Project unit activations back to the pixels of a photo.",
    "activations": "Show the strongest feature maps of a layer for a photo.",
    "explain": "Compare explanations of a class by several methods and models.",
    "faithfulness": "Measure how faithful an explanation is.",
    "analyzers": "List the installed analyzers with their package and cost.",
    "health": "Check whether a service accepts requests.",
    "top-k": "Show the photos in an index that activate each map most.",
    "indexed-photo": "Write the file of a photo that an index records.",
    "evolve": "Show how feature maps develop over the training epochs.",
    "compare": "Compare the first layers and dead maps of models.",
    "serve": "Serve models over gRPC until Ctrl-C.",
    "page": "Serve the page in the browser until Ctrl-C.",
    "train": "Train a network and add it to the model store.",
    "evaluate": "Measure the top-1 and top-5 accuracy of a model.",
    "probe": "Measure how well a linear classifier works on the features of each layer.",
    "index": "Index the strongest photos of every feature map.",
    "gallery": "Write HTML pages that show every feature map.",
    "analyze": "Run any installed analyzer on photos.",
    "run": "Run an analyzer on every photo of a data set.",
    "models": "List, describe, import, fetch and export models.",
    "check-device": "Check what works on a device.",
}


def _entry(name: str, summary: str) -> CommandEntry:
    """Return the entry of a command; its module and function have the command's name."""
    module = name.replace("-", "_")
    return CommandEntry(f"zfscope.cli.{module}:{module}", summary)


COMMANDS = {name: _entry(name, summary) for name, summary in _SUMMARIES.items()}


class Commands(LazyGroup):
    """Group of all commands; reports an error as one line on stderr."""

    entries: ClassVar[Mapping[str, CommandEntry]] = COMMANDS

    def invoke(self, ctx: Any) -> Any:
        try:
            _check_current_folder()
            with engine_needed():
                return super().invoke(ctx)
        except Exception as error:
            message = _message_of(error)
            traced = isinstance(error, AnalyzerFailed) or not isinstance(error, _EXPECTED)
            if message is None or (traced and os.environ.get("ZFSCOPE_TRACEBACK")):
                raise
            fail(message)


def _check_current_folder() -> None:
    """Raise InputError if the current folder was removed: torch and MKL would abort the process."""
    try:
        Path.cwd()
    except OSError as error:
        reason = (
            "no longer exists"
            if isinstance(error, FileNotFoundError)
            else f"cannot be read: {error.strerror}"
        )
        raise InputError(f"the current folder {reason}; change to another with cd") from error


def _message_of(error: Exception) -> str | None:
    """Return the message for an error; None for typer's exceptions, which typer handles itself."""
    if isinstance(error, OutputLost):
        raise typer.Exit(_report_lost(error)) from error
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return f"'{error.filename}': {reason}" if error.filename else reason
    if isinstance(error, AnalyzerFailed):
        return f"{error} ({_HINT})"
    if isinstance(error, ZfscopeError):
        return str(error)
    if type(error).__module__.startswith(("typer", "click")):
        return None
    return f"{type(error).__name__}: {error} (a bug in zfscope; {_HINT})"


def fail(message: str) -> None:
    """Print an error as one line on stderr and exit with code 2."""
    echo(one_line(f"zfscope: {message}"), err=True)
    raise typer.Exit(ERROR_EXIT)


def _report_lost(lost: OutputLost) -> int:
    """Return the exit code for lost output; print the reason unless the reader closed the pipe."""
    if lost.broken_pipe:
        return BROKEN_PIPE_EXIT
    echo(f"zfscope: cannot write the output: {lost.reason}", err=True)
    return ERROR_EXIT


app = typer.Typer(
    cls=Commands,
    help="Inspect convolutional networks: show which pixels of a photo activate which features.\n\n"
    "\b\nExamples:\n  zfscope classify china.jpg\n  zfscope project china.jpg --layer conv5\n  zfscope serve",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _group_help() -> None:
    """Turn the app into a group: typer needs a callback for it. `Commands` resolves the commands."""


def main() -> None:
    """Run the command line."""
    limit_openmp()
    escape_unencodable()
    guard_streams()
    show_warnings()
    terminate_as_ctrl_c()
    try:
        try:
            app(prog_name="zfscope")
        except OutputLost as lost:  # raised by help, which is printed before a command is invoked
            raise SystemExit(exit_code(_report_lost(lost))) from None
    except SystemExit as ended:
        raise SystemExit(exit_code(ended.code)) from None
    except KeyboardInterrupt:  # raised outside typer's own handling
        raise SystemExit(exit_code(INTERRUPTED_EXIT)) from None
