"""A disk that takes no more bytes: services and commands say so, and leave no partial files.

The limit of the size of files (RLIMIT_FSIZE) makes a write fail in the middle, without root: a file gets its
first bytes, and then an error of the operating system.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.forked import fork_python
from tests.support.service_process import SERVE, ServiceProcess, wait_until
from zfscope.client import Client

BYTES = 4096


@pytest.fixture(autouse=True)
def _processes_without_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes could not write the database of their coverage either."""
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)


def full_disk(limit: int = BYTES) -> str:
    """Return code that limits the size of files, in bytes."""
    return f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"


def test_a_service_whose_cache_cannot_be_written_serves_and_leaves_no_partial_graph(
    start_process: Callable[..., ServiceProcess], photo: bytes, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    service = start_process(before=full_disk(), cache=cache, log_level="warning")
    with Client(service.address) as client:
        assert client.classify(photo).model == "tiny"
    (line,) = [line for line in service.log if "the exported graph is not cached" in line["event"]]
    assert str(cache) in line["event"]
    assert "File too large; raise the limit of the size of files (ulimit -f)" in line["event"]
    assert list(cache.iterdir()) == []


def test_a_log_file_on_a_full_disk_loses_lines_but_no_call_and_continues_once_there_is_space(
    start_process: Callable[..., ServiceProcess], photo: bytes, tmp_path: Path
) -> None:
    log = tmp_path / "service.log"
    redirection = f"import os\nos.dup2(os.open({str(log)!r}, os.O_CREAT | os.O_APPEND | os.O_WRONLY), 2)\n"
    service = start_process(before=redirection + full_disk(), metrics_listen="127.0.0.1:0")
    metrics = next(line.split()[-1] for line in service.announced if line.startswith("metrics"))

    def lost() -> float:
        text = urlopen(metrics, timeout=60).read().decode()
        return float(text.split("\nzfscope_log_lines_lost_total ")[1].split()[0])

    with Client(service.address) as client:
        assert lost() == 0
        while not lost():
            assert client.classify(photo).model == "tiny"
        assert log.stat().st_size == BYTES
        count = lost()
        os.truncate(log, 0)
        assert client.classify(photo).model == "tiny"
        wait_until(lambda: log.stat().st_size, "the log is written again")
    lines = [json.loads(line) for line in log.read_text().splitlines() if line]
    assert (lines[0]["event"], lines[0]["lines"]) == ("log lines lost", count)
    assert lines[1]["event"] == "answered"


@pytest.fixture
def photos(tmp_path: Path, make_photo: Callable[..., bytes]) -> Path:
    """A folder of two photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.png").write_bytes(make_photo(60 + number))
    return folder


@pytest.mark.parametrize("command", ["index", "gallery"])
def test_a_command_on_a_full_disk_says_so_and_leaves_no_files(
    environment: Mapping[str, str], photos: Path, tmp_path: Path, command: str
) -> None:
    out = tmp_path / "out"
    process = fork_python(
        full_disk(512) + SERVE,
        *(command, str(photos), "--model", "tiny", "--layers", "conv1", "--out", str(out)),
        environment={**os.environ, **environment},
    )
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    assert "File too large; raise the limit of the size of files (ulimit -f)" in errors.splitlines()[-1]
    assert {path.name for path in tmp_path.iterdir()} == {"photos"}
