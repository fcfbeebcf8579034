"""The command line: its commands, and the one place where an error becomes a line and an exit code."""

import os
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from zfscope.cli.access import Remote
from zfscope.cli.analyze import RAW, analyze
from zfscope.cli.analyzers import analyzers
from zfscope.cli.classify import classify
from zfscope.cli.command import Command
from zfscope.cli.compare import compare
from zfscope.cli.evaluate import evaluate
from zfscope.cli.evolve import evolve
from zfscope.cli.gallery import gallery
from zfscope.cli.health import health
from zfscope.cli.index import index
from zfscope.cli.models import models
from zfscope.cli.output import one_line
from zfscope.cli.project import project
from zfscope.cli.serve import serve
from zfscope.cli.streams import BROKEN_PIPE_EXIT, OutputLost, echo, guard_streams, print_any_name
from zfscope.cli.top_k import top_k
from zfscope.cli.train import train
from zfscope.cli.warn import show_warnings
from zfscope.errors import AnalyzerFailed, InputError, ZfscopeError
from zfscope.termination import exit_code, terminate_as_ctrl_c

ERROR_EXIT = 2
INTERRUPTED_EXIT = 130
_HINT = "with ZFSCOPE_TRACEBACK=1 it shows where"
_EXPECTED = (ZfscopeError, OSError, OutputLost)


class Commands(TyperGroup):
    """Runs a command; what goes wrong is said in one line on stderr."""

    def invoke(self, ctx: Any) -> Any:
        try:
            _check_current_folder()
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
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for remote in (classify, project, analyzers, health, top_k, evolve, compare):
    app.command(cls=Remote)(remote)
for local in (serve, train, evaluate, index, gallery):
    app.command(cls=Command)(local)
app.command(context_settings=RAW)(analyze)
app.add_typer(models, name="models")


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
