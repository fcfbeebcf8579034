"""Every command in the environments that machines, containers, notebooks and scripts give it.

One process runs all commands of an environment, since each start costs seconds. `serve` has its own
tests; `train` that succeeds and `evolve` need a training, and share with these commands what can fail
here: the import of matplotlib, the writing of files and the printing of names.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

# Runs commands, and writes to stderr how each ended. `homeless` makes the user unknown to the system, as in a
# container that runs as any number; `affinity` takes away what macOS and Windows lack.
DRIVER = """
import json, os, pwd, sys
from zfscope.cli.app import main

lacking = sys.argv[2:]
if "homeless" in lacking:
    pwd.getpwuid = lambda number: {}[number]
if "affinity" in lacking:
    for name in ("sched_getaffinity", "sched_setaffinity", "process_cpu_count"):
        vars(os).pop(name, None)
for words in json.loads(sys.argv[1]):
    sys.argv = ["zfscope", *words]
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    os.write(2, f"### {code}\\n".encode())
"""


class Ended(NamedTuple):
    """How a command ended: its words, exit code, and lines on stderr."""

    words: Sequence[str]
    code: int
    errors: Sequence[str]


@pytest.fixture(scope="module")
def own_store(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Path:
    """A store of this module's own."""
    return Path(shutil.copytree(store, tmp_path_factory.mktemp("environments") / "models"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of the model's classes, with names that are hard to print."""
    root = tmp_path_factory.mktemp("photos")
    for number, name in enumerate(("n0/a.png", "n0/:cat: [red].png", "n1/\u7a93\xe9.png", "n1/b.png")):
        blots = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(blots).resize((60, 48), Image.Resampling.BICUBIC).save(root / name)
    shutil.copy(root / "n1" / "b.png", os.fsencode(root / "n1") + b"/caf\xe9.png")
    return root


def readers(photos: Path) -> list[list[str]]:
    """Return the commands that write no files."""
    photo = str(photos / "n0" / ":cat: [red].png")
    return [
        ["models"],
        ["models", "tiny", "--json"],
        ["analyzers"],
        ["classify", photo],
        ["classify", str(photos)],
        ["classify", str(photos), "--json"],
        ["evaluate", "--model", "tiny", str(photos)],
    ]


def writers(photos: Path, out: Path) -> list[list[str]]:
    """Return the commands that write files, each to a folder in `out`."""
    photo = str(photos / "n0" / ":cat: [red].png")
    scale = ["--transformations", "scale", "--scales", "1.5", "--layers", "conv1"]
    return [
        ["project", photo, "--top", "2", "--out", f"{out}/a"],
        ["analyze", "occlude", photo, "--window", "16", "--stride", "16", "--out", f"{out}/b"],
        ["analyze", "invariance", photo, *scale, "--out", f"{out}/c"],
        ["compare", photo, "--models", "tiny:1,tiny:2", "--out", f"{out}/d"],
        ["index", str(photos), "--model", "tiny", "--layers", "conv5", "--name", "it", "--out", f"{out}/e"],
        ["models", "export", "tiny", "--format", "onnx", "--out", f"{out}/f/tiny.onnx"],
        ["gallery", str(photos), "--layers", "conv5", "--count", "2", "--no-evolution", "--out", f"{out}/g"],
        ["top-k", "--layer", "conv5", "--count", "2", "--out", f"{out}/h"],
    ]


def training(photos: Path, out: Path) -> list[str]:
    """Return a training, for where it fails at the start."""
    return ["train", str(photos), "--name", "new", "--store", f"{out}/i", "--out", f"{out}/j"]


Drive = Callable[..., tuple[list[Ended], str]]


@pytest.fixture
def drive(own_store: Path, tmp_path: Path) -> Drive:
    """Runs commands in one process, with no variables but those given; gives how they ended, and stdout."""

    def run(
        commands: Sequence[Sequence[str]], *, lacking: Sequence[str] = (), **environment: str
    ) -> tuple[list[Ended], str]:
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, json.dumps(commands), *lacking],
            env={"ZFSCOPE_STORE": str(own_store), **environment},
            cwd=tmp_path,
            capture_output=True,
            timeout=300,
            check=False,
        )
        ended, lines = [], []
        for line in done.stderr.decode().splitlines():
            if line.startswith("### "):
                ended.append(Ended(commands[len(ended)], int(line[4:]), lines))
                lines = []
            else:
                lines.append(line)
        assert len(ended) == len(commands), lines
        return ended, done.stdout.decode()

    return run


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def fill(path: Path) -> None:
    """Write a file until its disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def check_fine(ended: Sequence[Ended]) -> None:
    for command in ended:
        assert (command.code, command.errors) == (0, []), command


ODD = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYTHONIOENCODING": "ascii",
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "grpc_proxy": "http://127.0.0.1:9",
    "MPLCONFIGDIR": "/proc/nowhere",
}


def test_without_variables_and_home_every_command_works(drive: Drive, photos: Path, tmp_path: Path) -> None:
    ended, _ = drive([*readers(photos), *writers(photos, tmp_path / "out")], lacking=["homeless"])
    check_fine(ended)
    assert not (tmp_path / "~").exists()


def test_with_a_notebooks_backend_ascii_and_proxies_every_command_works(
    drive: Drive, photos: Path, tmp_path: Path, server: str
) -> None:
    asked = [["health", "--server", server], ["classify", str(photos), "--server", server]]
    commands = [*readers(photos), *writers(photos, tmp_path / "out"), *asked]
    ended, stdout = drive(commands, HOME=str(tmp_path), **ODD)
    check_fine(ended)
    assert stdout.isascii()
    assert ":cat: [red].png" in stdout
    assert r"\u7a93\xe9.png" in stdout
    assert r"caf\udce9.png" in stdout
    objects = [json.loads(line) for line in stdout.splitlines() if line.startswith('{"file"')]
    assert {Path(each["file"]).name for each in objects} >= {"\u7a93\xe9.png", "caf\udce9.png"}


def test_where_the_system_does_not_say_which_processors_there_are_every_command_works(
    drive: Drive, photos: Path, tmp_path: Path
) -> None:
    commands = [*readers(photos)[3:], *writers(photos, tmp_path / "out")]
    check_fine(drive(commands, lacking=["affinity"], HOME=str(tmp_path))[0])


@pytest.fixture
def read_only(small_disk: Path) -> Path:
    """A disk that cannot be written to, not even by root."""
    (small_disk / "mine").write_text("mine")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    return small_disk


def test_on_a_read_only_disk_every_command_says_so_in_a_sentence(
    drive: Drive, photos: Path, read_only: Path
) -> None:
    commands = [*writers(photos, read_only), training(photos, read_only)]
    ended, stdout = drive([*commands, readers(photos)[3]], XDG_CACHE_HOME=str(read_only))
    for command in ended[:-1]:
        assert command.code == 2, command
        line = command.errors[-1]
        known = ("graph is not cached", "onnxruntime:")  # the second is what that library says itself
        assert not [each for each in command.errors[:-1] if not any(part in each for part in known)]
        assert "Read-only file system" in line
        assert str(read_only) in line
    assert ended[-1].code == 0  # it only has no cache
    assert files_below(read_only) == {"mine"}
    assert "church" in stdout or "ant" in stdout


def test_on_a_full_disk_every_command_says_so_and_leaves_nothing(
    drive: Drive, photos: Path, small_disk: Path, tmp_path: Path
) -> None:
    fill(small_disk / "ballast")
    commands = [*writers(photos, small_disk), training(photos, small_disk)]
    ended, _ = drive(commands, XDG_CACHE_HOME=str(tmp_path / "cache"))
    for command in ended:
        assert command.code == 2, command
        (line,) = command.errors
        assert "No space left on device" in line
        assert str(small_disk) in line
    assert files_below(small_disk) == {"ballast"}


def test_where_nobody_reads_on_commands_end_without_a_word(
    environment: dict[str, str], photos: Path, command: Path
) -> None:
    for words in readers(photos)[:2] + readers(photos)[4:6]:
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [command, *words], env=environment, stdout=writer, stderr=subprocess.PIPE, check=False
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, b""), words


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_into_a_full_disk_is_one_sentence(
    environment: dict[str, str], photos: Path, command: Path
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [command, *readers(photos)[0]], env=environment, stdout=full, stderr=subprocess.PIPE, check=False
        )
    message = b"zfscope: cannot write the output: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, message)
