"""The command line: its commands, and the one place where an error becomes a line and an exit code."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import typer

from zfscope.cli.command import Entry, LazyGroup
from zfscope.cli.streams import BROKEN_PIPE_EXIT, OutputLost, echo, guard_streams, one_line, print_any_name
from zfscope.cli.warn import show_warnings
from zfscope.errors import AnalyzerFailed, InputError, ZfscopeError
from zfscope.extras import engine_needed
from zfscope.termination import exit_code, terminate_as_ctrl_c

ERROR_EXIT = 2
INTERRUPTED_EXIT = 130
_HINT = "with ZFSCOPE_TRACEBACK=1 it shows where"
_EXPECTED = (ZfscopeError, OSError, OutputLost)


# The commands, in the order of the help, each with the first sentence of its own.
_SUMMARIES = {
    "classify": (
        "Classify a photo; for several photos, or a folder, print a row each with the likeliest class."
    ),
    "project": "Show what units saw in a photo, as pictures in a folder.",
    "analyzers": "List the analyzers that are installed, who brought them, and what they cost.",
    "health": "Ask a service whether it takes requests.",
    "top-k": (
        "Show the photos of an index that activate maps most: projections beside the patches they come from."
    ),
    "evolve": (
        "Show what excites maps most after each stored epoch of the training, and how fast they settle."
    ),
    "compare": "Put models side by side: first filters and their frequencies, dead maps, grids in layer 2.",
    "serve": "Serve models over gRPC until Ctrl-C.",
    "train": "Train a network on a folder of photos, and add it to the model store.",
    "evaluate": (
        "Measure the accuracy of a model: percentages of photos whose class comes first, or among five."
    ),
    "index": (
        "Index a data set: find the strongest photos of every map, one maximum a photo, and the dead maps."
    ),
    "gallery": (
        "Write pages that show every map: its strongest photos, what it saw in them, and how it came to be."
    ),
    "analyze": "Run any analyzer on photos; `zfscope analyze NAME --help` lists its options.",
    "models": (
        "List the models, describe one, bring in another, or write one for others; without a command: list."
    ),
}


def _entry(name: str, summary: str) -> Entry:
    """Return a command of the module that is called like it."""
    module = name.replace("-", "_")
    return Entry(f"zfscope.cli.{module}:{module}", summary)


COMMANDS = {name: _entry(name, summary) for name, summary in _SUMMARIES.items()}


class Commands(LazyGroup):
    """Runs a command; what goes wrong is said in one line on stderr."""

    entries: ClassVar[Mapping[str, Entry]] = COMMANDS

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
    """Raise InputError where the current folder was removed: torch and MKL would end the process."""
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
    """Return what is said of an error; None for typer's own, which are no errors of a command."""
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
    return f"{type(error).__name__}: {error} (a fault of zfscope; {_HINT})"


def fail(message: str) -> None:
    """Say what went wrong in one line on stderr, and leave with exit code 2."""
    echo(one_line(f"zfscope: {message}"), err=True)
    raise typer.Exit(ERROR_EXIT)


def _report_lost(lost: OutputLost) -> int:
    """Return the exit code of output that cannot be written; print why, unless its reader left."""
    if lost.broken_pipe:
        return BROKEN_PIPE_EXIT
    echo(f"zfscope: the output cannot be written: {lost.reason}", err=True)
    return ERROR_EXIT


app = typer.Typer(
    cls=Commands,
    help="A microscope for convolutional networks: what a network saw in a photo.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _about() -> None:
    """Commands are found by `Commands`; typer makes a group of an app that has a callback."""


def main() -> None:
    """Run the command line."""
    print_any_name()
    guard_streams()
    show_warnings()
    terminate_as_ctrl_c()
    try:
        try:
            app(prog_name="zfscope")
        except OutputLost as lost:  # of help, which is printed before a command is invoked
            raise SystemExit(exit_code(_report_lost(lost))) from None
    except SystemExit as ended:
        raise SystemExit(exit_code(ended.code)) from None
    except KeyboardInterrupt:  # where typer does not see it
        raise SystemExit(exit_code(INTERRUPTED_EXIT)) from None
