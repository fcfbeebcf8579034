"""Commands and their options, as `--help` prints them."""

import re
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from reference.markdown import code, table, text
from zfscope.analysis.description import analyzer_info
from zfscope.analysis.registry import load_analyzers
from zfscope.cli.analyze import analyzer_command
from zfscope.cli.app import COMMANDS, app
from zfscope.cli.command import make_command, with_parameters
from zfscope.cli.run import run_options

# Analyzers of other packages that happen to be installed are left out.
_OWN_DISTRIBUTION = "zfscope"


def commands() -> str:
    """Return a section for each command and subcommand."""
    return "".join(_section(path, command) for path, command in _all_commands())


def analyzer_commands() -> str:
    """Return a section for each analyzer as a subcommand of `zfscope analyze`."""
    infos = [analyzer_info(registered) for registered in load_analyzers().values()]
    own = [info for info in infos if info.distribution == _OWN_DISTRIBUTION]
    return "".join(_section(f"zfscope analyze {info.name}", analyzer_command(info, None)) for info in own)


def run_command_options() -> str:
    """Return a section with the options of `zfscope run NAME` that are the same for every analyzer."""
    command = with_parameters(lambda **_: None, *run_options())
    text = "Options in addition to those of the analyzer, which are the same as for `zfscope analyze NAME`."
    return _section("zfscope run NAME", make_command(command, "NAME", help=text))


def flags_of(name: str) -> dict[str, str]:
    """Return the long flags of a command by the name of their parameter."""
    return {
        option.name: next(flag for flag in option.opts if flag.startswith("--"))
        for option in _load(name).params
        if option.param_type_name == "option"
    }


def _load(name: str) -> Any:
    return COMMANDS[name].load(name)


def _all_commands() -> Iterator[tuple[str, Any]]:
    """Yield the path and the command of each command and subcommand."""
    yield "zfscope", get_command(app)
    for name in COMMANDS:
        command = _load(name)
        yield f"zfscope {name}", command
        for inner in getattr(command, "commands", {}):
            yield f"zfscope {name} {inner}", command.commands[inner]


def _section(path: str, command: Any) -> str:
    """Return the heading, help and options of a command."""
    context = typer.Context(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    records = [(option, option.get_help_record(context)) for option in command.get_params(context)]
    rows = [_row(record) for _, record in records if record]
    head = f"## {path}\n\n```text\n{path} {usage}\n```\n\n{_help(command.help or '')}"
    return head + (table(("option", "meaning"), rows) if rows else "")


def _row(record: tuple[str, str]) -> tuple[str, str]:
    names, meaning = record
    return code(names), text(meaning)


def _help(words: str) -> str:
    """Return the text of a help: paragraphs, and blocks of examples after a line with a backspace."""
    parts = re.split(r"\n\s*\n", words.replace("\r", ""))
    return "".join(_block(part) for part in parts if part.strip())


def _block(part: str) -> str:
    if not part.lstrip("\n").startswith("\b"):
        return f"{text(part)}\n\n"
    title, _, lines = part.strip("\n\b").partition("\n")
    shown = "\n".join(line.removeprefix("  ") for line in lines.splitlines())
    language = "sh" if shown.startswith("zfscope ") else "text"
    return f"{text(title)}\n\n```{language}\n{shown}\n```\n\n"
