"""Every command in unusual environments of machines, containers, notebooks and scripts.

One process runs all commands in an environment, since each start costs seconds. `serve` has separate tests.
A successful `train` and `evolve` are left out: they take long, and can only fail in the same ways as the
others, by importing matplotlib, writing files and printing names.
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

# Runs commands, and writes the exit code of each to stderr. `homeless` makes the user unknown to the system,
# as in a container with an arbitrary user id; `affinity` removes functions that macOS and Windows lack.
DRIVER = """
import json, os, pwd, sys
from zfscope.cli.app import main

lacking = sys.argv[2:]
if "homeless" in lacking:
    pwd.getpwuid = lambda number: {}[number]
if "affinity" in lacking:
    for name in ("sched_getaffinity", "sched_setaffinity", "process_cpu_count"):
        vars(os).pop(name, None)
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["zfscope", *arguments]
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    os.write(2, f"### {code}\\n".encode())
"""


class Invocation(NamedTuple):
    """A finished command: its arguments, exit code, and lines on stderr."""

    arguments: Sequence[str]
    code: int
    errors: Sequence[str]


@pytest.fixture(scope="module")
def own_store(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Path:
    """A copy of the store for this module."""
    return Path(shutil.copytree(store, tmp_path_factory.mktemp("environments") / "models"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of the model's classes, some with names that are hard to print."""
    root = tmp_path_factory.mktemp("photos")
    for number, name in enumerate(("n0/a.png", "n0/:cat: [red].png", "n1/\u7a93\xe9.png", "n1/b.png")):
        blobs = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(blobs).resize((60, 48), Image.Resampling.BICUBIC).save(root / name)
    shutil.copy(root / "n1" / "b.png", os.fsencode(root / "n1") + b"/caf\xe9.png")
    return root


def readers(photos: Path) -> list[list[str]]:
    """Return commands that write no files."""
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
    """Return commands that write files, each to a folder in `out`."""
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
        ["run", "project", str(photos), "--top", "1", "--pictures", "--tensors", "--out", f"{out}/k"],
    ]


def training(photos: Path, out: Path) -> list[str]:
    """Return a training command, which fails at the start if `out` cannot be written."""
    return ["train", str(photos), "--name", "new", "--store", f"{out}/i", "--out", f"{out}/j"]


Drive = Callable[..., tuple[list[Invocation], str]]


@pytest.fixture
def drive(own_store: Path, tmp_path: Path) -> Drive:
    """Runs commands in one process with only the given environment variables; returns them and the stdout."""

    def run(
        commands: Sequence[Sequence[str]], *, lacking: Sequence[str] = (), **environment: str
    ) -> tuple[list[Invocation], str]:
        process = subprocess.run(
            [sys.executable, "-c", DRIVER, json.dumps(commands), *lacking],
            env={"ZFSCOPE_STORE": str(own_store), **environment},
            cwd=tmp_path,
            capture_output=True,
            timeout=300,
            check=False,
        )
        invocations, lines = [], []
        for line in process.stderr.decode().splitlines():
            if line.startswith("### "):
                invocations.append(Invocation(commands[len(invocations)], int(line[4:]), lines))
                lines = []
            else:
                lines.append(line)
        assert len(invocations) == len(commands), lines
        return invocations, process.stdout.decode()

    return run


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def fill(path: Path) -> None:
    """Write a file until its disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def assert_success(invocations: Sequence[Invocation]) -> None:
    for invocation in invocations:
        assert (invocation.code, invocation.errors) == (0, []), invocation


NOTEBOOK = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYTHONIOENCODING": "ascii",
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "grpc_proxy": "http://127.0.0.1:9",
    "MPLCONFIGDIR": "/proc/nowhere",
}


def test_every_command_works_without_variables_and_home(drive: Drive, photos: Path, tmp_path: Path) -> None:
    invocations, _ = drive([*readers(photos), *writers(photos, tmp_path / "out")], lacking=["homeless"])
    assert_success(invocations)
    assert not (tmp_path / "~").exists()


def test_every_command_works_with_a_notebook_backend_ascii_and_proxies(
    drive: Drive, photos: Path, tmp_path: Path, server: str
) -> None:
    remote = [["health", "--server", server], ["classify", str(photos), "--server", server]]
    commands = [*readers(photos), *writers(photos, tmp_path / "out"), *remote]
    invocations, stdout = drive(commands, HOME=str(tmp_path), **NOTEBOOK)
    assert_success(invocations)
    assert stdout.isascii()
    assert ":cat: [red].png" in stdout
    assert r"\u7a93\xe9.png" in stdout
    assert r"caf\udce9.png" in stdout
    objects = [json.loads(line) for line in stdout.splitlines() if line.startswith('{"file"')]
    assert {Path(each["file"]).name for each in objects} >= {"\u7a93\xe9.png", "caf\udce9.png"}


def test_every_command_works_without_cpu_affinity_functions(
    drive: Drive, photos: Path, tmp_path: Path
) -> None:
    commands = [*readers(photos)[3:], *writers(photos, tmp_path / "out")]
    assert_success(drive(commands, lacking=["affinity"], HOME=str(tmp_path))[0])


@pytest.fixture
def read_only(small_disk: Path) -> Path:
    """A disk that cannot be written to, not even by root."""
    (small_disk / "mine").write_text("mine")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    return small_disk


def test_every_command_reports_a_read_only_disk_in_one_line(
    drive: Drive, photos: Path, read_only: Path
) -> None:
    commands = [*writers(photos, read_only), training(photos, read_only)]
    invocations, stdout = drive([*commands, readers(photos)[3]], XDG_CACHE_HOME=str(read_only))
    for invocation in invocations[:-1]:
        assert invocation.code == 2, invocation
        line = invocation.errors[-1]
        known = ("graph is not cached", "onnxruntime:")  # the second is printed by the library itself
        assert not [each for each in invocation.errors[:-1] if not any(part in each for part in known)]
        assert "Read-only file system" in line
        assert str(read_only) in line
    assert invocations[-1].code == 0  # it only lacks a cache
    assert files_below(read_only) == {"mine"}
    assert "church" in stdout or "ant" in stdout


def test_every_command_reports_a_full_disk_and_leaves_no_files(
    drive: Drive, photos: Path, small_disk: Path, tmp_path: Path
) -> None:
    fill(small_disk / "ballast")
    commands = [*writers(photos, small_disk), training(photos, small_disk)]
    invocations, _ = drive(commands, XDG_CACHE_HOME=str(tmp_path / "cache"))
    for invocation in invocations:
        assert invocation.code == 2, invocation
        (line,) = invocation.errors
        assert "No space left on device" in line
        assert str(small_disk) in line
    assert files_below(small_disk) == {"ballast"}


def test_a_closed_pipe_ends_a_command_silently(
    environment: dict[str, str], photos: Path, command: Path
) -> None:
    for arguments in readers(photos)[:2] + readers(photos)[4:6]:
        reader, writer = os.pipe()
        os.close(reader)
        process = subprocess.run(
            [command, *arguments], env=environment, stdout=writer, stderr=subprocess.PIPE, check=False
        )
        os.close(writer)
        assert (process.returncode, process.stderr) == (141, b""), arguments


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="requires /dev/full")
def test_output_to_a_full_device_is_a_one_line_error(
    environment: dict[str, str], photos: Path, command: Path
) -> None:
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            [command, *readers(photos)[0]], env=environment, stdout=full, stderr=subprocess.PIPE, check=False
        )
    message = b"zfscope: cannot write the output: No space left on device\n"
    assert (process.returncode, process.stderr) == (2, message)
