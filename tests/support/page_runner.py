"""Runs the code blocks of a page as a reader would: in order, in one folder, in one Python session.

Commands of zfscope run in this process, to avoid starting an interpreter for each; bash runs everything else.
`zfscope serve` and `zfscope page` start on a free port, whose address replaces the one on the page.
"""

import contextlib
import io
import os
import re
import shlex
import signal
import subprocess
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tests.support.forked import ForkedProcess, fork_python
from tests.support.pages import ROOT, Block, Command, commands_of, matches
from zfscope.cli.app import app

SCRIPTS = Path(sysconfig.get_path("scripts"))
_SHELL = re.compile(r"[|<>&;$`*]")
# Addresses that pages use for what they start, by the command.
_STATED = {
    "serve": re.compile(r"(?:localhost|127\.0\.0\.1|gpu):50051"),
    "page": re.compile(r"(?:localhost|127\.0\.0\.1):8080"),
}
_STARTED = re.compile(r"([A-Z_]+=\S+ )*zfscope (serve|page)\b")


class Services:
    """The services that pages start: one per distinct command, shared by pages."""

    def __init__(self, store: Path, cache: Path) -> None:
        self._options = ["--listen", "127.0.0.1:0", "--store", store]
        self._cache = cache
        self._started: dict[str, tuple[str, ForkedProcess]] = {}

    def start(self, line: str) -> str:
        """Start the service of a command unless it is running; return what it printed."""
        if line not in self._started:
            *settings, options = _split_command(line)
            service = fork_python(
                "from zfscope.cli import main; main()",
                *map(str, [*options.split(), *self._options]),
                environment={
                    **os.environ,
                    "ZFSCOPE_CACHE": str(self._cache),
                    **dict(setting.split("=", 1) for setting in settings),
                },
            )
            # Otherwise the log fills the pipe and blocks the service.
            threading.Thread(target=service.stderr.read, daemon=True).start()
            self._started[line] = (_read_start(service), service)
        return self._started[line][0]

    def close(self) -> None:
        """Stop all services."""
        for _, service in self._started.values():
            service.send_signal(signal.SIGINT)
        for _, service in self._started.values():
            service.wait(timeout=60)
            service.close()


def _split_command(line: str) -> list[str]:
    """Return the settings `NAME=VALUE` that precede a command, then its arguments as the last item."""
    settings, _, options = line.partition("zfscope ")
    return [*settings.split(), options]


def _read_start(service: ForkedProcess) -> str:
    """Read what a service prints until it is ready."""
    printed = [service.stdout.readline()]
    while printed[-1] and not printed[-1].startswith(("zfscope serves", "zfscope page")):
        printed.append(service.stdout.readline())
    assert printed[-1], "the service did not start"
    return "".join(printed)


class PageRunner:
    """State that the blocks of a page share: folder, Python names and address of the service."""

    def __init__(self, folder: Path, services: Services) -> None:
        self.folder = folder
        self.services = services
        self.names: dict[str, Any] = {"__name__": "page"}
        self.addresses: dict[str, str] = {}
        self._printed = ""

    def run(self, block: Block) -> None:
        """Run a block, or apply its marker. Raises AssertionError if a command or a comparison fails."""
        if block.marker == "not run":
            assert len(block.note) > 5, "`not run` needs a reason"
        elif block.marker == "file":
            self._write(block)
        elif block.marker == "excerpt of":
            assert block.text in (ROOT / block.note).read_text(encoding="utf-8"), f"not in {block.note}"
        elif block.marker == "output":
            assert matches(block.text, self._printed), f"printed:\n{self._printed}"
        elif block.language == "python":
            self._run_python(block)
        elif block.language in ("sh", "console"):
            for command in commands_of(block):
                self._run_command(command)
        else:
            raise AssertionError(
                f"a block of '{block.language}' needs a marker; see docs/how-to/contributing.md"
            )

    def _write(self, block: Block) -> None:
        path = self.folder / block.note
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")

    def _run_python(self, block: Block) -> None:
        output = io.StringIO()
        code = "\n" * block.line + self._with_address(block.text)
        with contextlib.redirect_stdout(output):
            exec(compile(code, "page", "exec"), self.names)
        self._printed = output.getvalue()

    def _run_command(self, command: Command) -> None:
        run = self._runner_of(command.line)
        printed = run(self._with_address(command.line))
        if command.output is not None:
            shown = self._with_address(command.output)
            assert matches(shown, printed), f"`{command.line}` printed:\n{printed}"

    def _runner_of(self, line: str) -> Callable[[str], str]:
        if _STARTED.match(line):
            return self._start
        simple = line.startswith("zfscope ") and not _SHELL.search(line)
        return _run_zfscope if simple else self._run_bash

    def _run_bash(self, line: str) -> str:
        path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self.folder,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, f"`{line}` exited with {result.returncode}:\n{result.stdout}"
        return result.stdout

    def _start(self, line: str) -> str:
        printed = self.services.start(line)
        started = _STARTED.match(line)
        address = re.search(r"127\.0\.0\.1:\d+", printed)  # zfscope listens on 127.0.0.1:40123
        assert started
        assert address
        self.addresses[started[2]] = address[0]
        return printed

    def _with_address(self, text: str) -> str:
        """Replace the addresses on the page by those of what it started."""
        for command, address in self.addresses.items():
            text = _STATED[command].sub(address, text)
        return text


def _run_zfscope(line: str) -> str:
    """Run a command of zfscope in this process; return its output, stderr included."""
    result = CliRunner().invoke(app, shlex.split(line)[1:])
    assert result.exit_code == 0, (
        f"`{line}` exited with {result.exit_code}:\n{result.output}{result.exception or ''}"
    )
    return result.output
