"""`zfscope index --engine ray`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import COMMAND

Run = Callable[..., Any]
# Time limit for Ray to start its workers, on a busy machine too.
PATIENCE_S = 240


@pytest.fixture
def photos(tmp_path: Path, photo: Path) -> Path:
    """A folder with 800 copies of one photo, in four classes."""
    for number in range(800):
        path = tmp_path / "photos" / f"n{number % 4}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, path)
    return tmp_path / "photos"


class Scan:
    """A command that indexes photos in its own Ray cluster, with all processes that it started."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.descendants: set[int] = set()

    def actor_pid(self) -> int:
        """Wait for the first actor and return its process id."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and self.process.poll() is None:
            self.descendants = set(_descendants(self.process.pid))
            for pid in self.descendants:
                if _command_line(pid).startswith("ray::BatchActor"):
                    return pid
            time.sleep(0.01)
        raise AssertionError(f"no actor was started: {self.process.communicate()}")

    def wait(self) -> tuple[int, str, str]:
        """Wait until the command and all its descendants have ended; return exit code, stdout and stderr."""
        stdout, stderr = self.process.communicate(timeout=PATIENCE_S)
        end = time.monotonic() + 90  # Ray's agents check every 30 s whether their cluster still exists
        while any(map(_command_line, self.descendants)) and time.monotonic() < end:
            time.sleep(0.1)
        assert [_command_line(pid) for pid in self.descendants if _command_line(pid)] == []
        return self.process.returncode, stdout, stderr


@pytest.fixture
def start_scan(environment: dict[str, str], photos: Path, tmp_path: Path, ctrl_c: None) -> Callable[[], Any]:
    """Starts a command in a separate process group, as a terminal does."""

    @contextmanager
    def start() -> Iterator[Scan]:
        options = ["--model", "tiny", "--out", tmp_path / "ray", "--engine", "ray", "--json"]
        process = subprocess.Popen(
            [COMMAND, "index", photos, *options],
            env={**os.environ, **environment, "RAY_worker_niceness": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield Scan(process)
        finally:
            process.kill()
            process.communicate()

    return start


def _descendants(pid: int) -> Iterator[int]:
    """Yield the ids of the descendants of a process."""
    with suppress(OSError):  # the process has ended
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                yield int(child)
                yield from _descendants(int(child))


def _command_line(pid: int) -> str:
    """Return the command line of a process, empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def file_contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_interrupted_command_stops_its_cluster(start_scan: Callable[[], Any], tmp_path: Path) -> None:
    with start_scan() as scan:
        scan.actor_pid()
        os.killpg(scan.process.pid, signal.SIGINT)
        code, stdout, _ = scan.wait()
        assert (code, stdout) == (130, "")
    assert not (tmp_path / "ray" / "photos").exists()


def test_a_killed_actor_does_not_change_the_index(
    run: Run, start_scan: Callable[[], Any], photos: Path, tmp_path: Path
) -> None:
    with start_scan() as scan:
        os.kill(scan.actor_pid(), signal.SIGKILL)
        code, stdout, stderr = scan.wait()
        assert code == 0, stderr
    local = run("index", photos, "--model", "tiny", "--out", tmp_path / "local", "--json")
    answers = [json.loads(answer) for answer in (stdout, local.stdout)]
    assert [answer.pop("folder") for answer in answers] == [
        str(tmp_path / name / "photos") for name in ("ray", "local")
    ]
    assert answers[0] == answers[1]
    assert file_contents(tmp_path / "ray" / "photos") == file_contents(tmp_path / "local" / "photos")


def test_without_ray_the_message_names_the_package_to_install(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.startswith("zfscope.parallel.ray_")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "zfscope.parallel.cluster", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run("index", photos, "--model", "tiny", "--out", tmp_path / "out", "--engine", "ray")
    assert (result.code, result.stdout) == (2, "")
    assert (
        result.stderr == "zfscope: engine 'ray' requires Ray; install it with: pip install 'zfscope[ray]'\n"
    )


@pytest.mark.parametrize(
    "address", ["127.0.0.1:9", "ray://127.0.0.1:9", "ray://127.0.0.1:nine", "nowhere.invalid"]
)
def test_an_address_without_a_cluster_is_reported_in_one_line(
    run: Run, photos: Path, tmp_path: Path, address: str
) -> None:
    options = ("--model", "tiny", "--out", tmp_path / "out", "--engine", "ray", "--address", address)
    result = run("index", photos, *options)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"zfscope: no Ray cluster at '{address}' (")
    assert result.stderr.endswith(
        "ray://HOST:PORT of the head node or, on a machine of the cluster, HOST:PORT or auto\n"
    )
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_address_requires_the_ray_engine(run: Run, photos: Path, tmp_path: Path) -> None:
    result = run("index", photos, "--model", "tiny", "--out", tmp_path / "out", "--address", "auto")
    assert (result.code, result.stderr) == (2, "zfscope: engine 'local' takes no address; only 'ray' does\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--device", "cuda"), "--engine ray runs on CPUs, not on device 'cuda': use --device cpu"),
        (
            ("--runtime", "torchserve"),
            "--engine ray runs the model inside its own workers: use --runtime onnx or torch",
        ),
    ],
)
def test_a_device_or_runtime_that_actors_cannot_use_is_rejected(
    run: Run, photos: Path, tmp_path: Path, options: tuple[str, str], message: str
) -> None:
    command = ("index", photos, "--model", "tiny", "--out", tmp_path / "out", "--engine", "ray")
    result = run(*command, *options)
    assert (result.code, result.stderr) == (2, f"zfscope: {message}\n")
