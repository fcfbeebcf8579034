"""Every option that a page names exists."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tests.support.pages import NOTEBOOKS, PAGES, markdown_of, name_of
from zfscope.analysis.description import analyzer_info
from zfscope.analysis.registry import load_analyzers
from zfscope.cli.analyze import analyzer_command
from zfscope.cli.app import COMMANDS, app
from zfscope.cli.run import run_command

# An option at the start of a span, or after `zfscope`; in other spans it belongs to another program.
_NAMED = re.compile(r"`(?:zfscope [^`]*)?(--[a-z][a-z-]*)")
# Options of Docker and pytest, `--help`, and those of analyzers in examples/.
_OTHERS = {"--profile", "--target", "--dist", "--help", "--label", "--shape"}


def _commands() -> Iterator[Any]:
    yield get_command(app)
    for name, entry in COMMANDS.items():
        command = entry.load(name)
        yield command
        yield from getattr(command, "commands", {}).values()
    for registered in load_analyzers().values():
        yield analyzer_command(analyzer_info(registered), None)
        yield run_command(registered)


@pytest.fixture(scope="module")
def options() -> set[str]:
    """The options of all commands and analyzers."""
    parameters = [each for command in _commands() for each in command.params]
    return {flag for each in parameters for flag in (*each.opts, *each.secondary_opts)}


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=name_of)
def test_every_option_named_on_a_page_exists(page: Path, options: set[str]) -> None:
    named = set(_NAMED.findall(markdown_of(page)))

    assert "--server" in options
    assert named - options - _OTHERS == set()
