"""The command line: its commands, and the one place where an error becomes a line and an exit code."""

import os
from typing import Any

import typer
from typer.core import TyperGroup

from zfscope.cli.access import Remote
from zfscope.cli.analyze import RAW, analyze
from zfscope.cli.analyzers import analyzers
from zfscope.cli.classify import classify
from zfscope.cli.compare import compare
from zfscope.cli.evaluate import evaluate
from zfscope.cli.evolve import evolve
from zfscope.cli.gallery import gallery
from zfscope.cli.health import health
from zfscope.cli.index import index
from zfscope.cli.models import models
from zfscope.cli.project import project
from zfscope.cli.serve import serve
from zfscope.cli.top_k import top_k
from zfscope.cli.train import train
from zfscope.errors import AnalyzerFailed, ZfscopeError

ERROR_EXIT = 2
_HINT = "with ZFSCOPE_TRACEBACK=1 it shows where"


class Commands(TyperGroup):
    """Runs a command; what goes wrong is said in one line on stderr."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AnalyzerFailed as error:
            if os.environ.get("ZFSCOPE_TRACEBACK"):
                raise
            fail(f"{error} ({_HINT})")
        except (ZfscopeError, OSError) as error:
            fail(str(error))
        except Exception as error:  # typer's own, which are no errors of a command, pass through
            if type(error).__module__.startswith(("typer", "click")) or os.environ.get("ZFSCOPE_TRACEBACK"):
                raise
            fail(f"{type(error).__name__}: {error} (a fault of zfscope; {_HINT})")


def fail(message: str) -> None:
    """Say what went wrong in one line on stderr, and leave with exit code 2."""
    typer.echo(f"zfscope: {' '.join(message.split())}", err=True)
    raise typer.Exit(ERROR_EXIT)


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
    app.command()(local)
app.command(context_settings=RAW)(analyze)
app.add_typer(models, name="models")


def main() -> None:
    """Run the command line."""
    app(prog_name="zfscope")
