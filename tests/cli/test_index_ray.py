"""`zfscope index --engine ray`."""

import json
import os
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
PATIENCE_S = 240


@pytest.fixture
def photos(tmp_path: Path, photo: Path) -> Path:
    """One photo, 800 times."""
    for number in range(800):
        path = tmp_path / "photos" / f"n{number % 4}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(photo)
    return tmp_path / "photos"


class Scan:
    """A command that indexes photos with a Ray cluster of its own, and all processes that it started."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.below: set[int] = set()

    def actor(self) -> int:
        """Give the process of an actor, as soon as there is one."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and self.process.poll() is None:
            self.below = set(_below(self.process.pid))
            for pid in self.below:
                if _command(pid).startswith("ray::ScanActor"):
                    return pid
            time.sleep(0.01)
        raise AssertionError(f"no actor came: {self.process.communicate()}")

    def end(self) -> tuple[int, str, str]:
        """Wait for the end of the command, and of all that it started; give its code, stdout and stderr."""
        stdout, stderr = self.process.communicate(timeout=PATIENCE_S)
        until = time.monotonic() + 90  # Ray's agents look every half minute whether their cluster is there
        while any(map(_command, self.below)) and time.monotonic() < until:
            time.sleep(0.1)
        assert [_command(pid) for pid in self.below if _command(pid)] == []
        return self.process.returncode, stdout, stderr


@pytest.fixture
def scan(environment: dict[str, str], photos: Path, tmp_path: Path, ctrl_c: None) -> Callable[[], Any]:
    """Starts a command, with a terminal's process group of its own."""

    @contextmanager
    def started() -> Iterator[Scan]:
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

    return started


def _below(process: int) -> Iterator[int]:
    """Give the processes that a process started, and that those did."""
    with suppress(OSError):  # one that has ended meanwhile
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            for child in children.read_text().split():
                yield int(child)
                yield from _below(int(child))


def _command(process: int) -> str:
    """Give the command line of a process, empty where it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_interrupted_it_ends_its_cluster(scan: Callable[[], Any], tmp_path: Path) -> None:
    with scan() as interrupted:
        interrupted.actor()
        os.killpg(interrupted.process.pid, signal.SIGINT)
        code, stdout, _ = interrupted.end()
        assert (code, stdout) == (130, "")
    assert not (tmp_path / "ray" / "photos").exists()


def test_where_an_actor_is_killed_the_index_is_the_same(
    run: Run, scan: Callable[[], Any], photos: Path, tmp_path: Path
) -> None:
    with scan() as killed:
        os.kill(killed.actor(), signal.SIGKILL)
        code, stdout, stderr = killed.end()
        assert code == 0, stderr
    local = run("index", photos, "--model", "tiny", "--out", tmp_path / "local", "--json")
    answers = [json.loads(answer) for answer in (stdout, local.stdout)]
    assert [answer.pop("folder") for answer in answers] == [
        str(tmp_path / name / "photos") for name in ("ray", "local")
    ]
    assert answers[0] == answers[1]
    assert files(tmp_path / "ray" / "photos") == files(tmp_path / "local" / "photos")


def test_without_ray_it_says_what_to_install(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.startswith("zfscope.scan.ray_")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "zfscope.scan.cluster", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run("index", photos, "--model", "tiny", "--out", tmp_path / "out", "--engine", "ray")
    assert (result.code, result.stdout) == (2, "")
    assert (
        result.stderr == "zfscope: engine 'ray' requires Ray; install it with: pip install 'zfscope[ray]'\n"
    )


@pytest.mark.parametrize(
    "address", ["127.0.0.1:9", "ray://127.0.0.1:9", "ray://127.0.0.1:nine", "nowhere.invalid"]
)
def test_an_address_where_no_cluster_is_is_told_in_one_line(
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


def test_threads_have_no_address(run: Run, photos: Path, tmp_path: Path) -> None:
    result = run("index", photos, "--model", "tiny", "--out", tmp_path / "out", "--address", "auto")
    assert (result.code, result.stderr) == (2, "zfscope: engine 'local' takes no address; only 'ray' does\n")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--device", "cuda"), "--engine ray runs on CPUs, not on device 'cuda': use --device cpu"),
        (
            ("--runtime", "torchserve"),
            "--engine ray runs the model inside its own workers: use --runtime onnx or torch",
        ),
    ],
)
def test_what_an_actor_cannot_run_is_refused(
    run: Run, photos: Path, tmp_path: Path, options: tuple[str, str], told: str
) -> None:
    wishes = ("--model", "tiny", "--out", tmp_path / "out", "--engine", "ray")
    result = run("index", photos, *wishes, *options)
    assert (result.code, result.stderr) == (2, f"zfscope: {told}\n")
