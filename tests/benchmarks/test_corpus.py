"""The corpus benchmark: the faults that it reports, retries, and a complete run."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import corpus as module
from benchmarks.corpus import CallOutcome, CorpusRun, files_of, send_with_retry
from tests.server.conftest import write_random_model

GOOD = CallOutcome("a.png", "Classify", "OK", 0.1)


def faults(
    *outcomes: CallOutcome, resident: tuple[float | None, ...] = (100, 200, 210), tracebacks: int = 0
) -> list[str]:
    return list(CorpusRun([GOOD, *outcomes], resident, tracebacks).faults(allowed_growth=0.1))


def test_rejections_and_growth_during_the_first_round_are_not_faults() -> None:
    refusals = [
        CallOutcome("b", "Project", status, 4.9) for status in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")
    ]
    assert faults(*refusals) == []


@pytest.mark.parametrize("status", ["INTERNAL", "UNKNOWN", "UNAVAILABLE"])
def test_a_status_that_no_file_may_cause_is_a_fault(status: str) -> None:
    assert faults(CallOutcome("b", "Project", status, 0.1)) == [f"Project of 'b': {status}"]


def test_a_hang_is_a_fault() -> None:
    assert faults(CallOutcome("b", "Classify", "OK", 5.1)) == ["Classify of 'b': 5.1 s (OK)"]


@pytest.mark.parametrize(
    ("seconds", "statuses", "expected"),
    [
        ((0.1,), ("OK",), 0),
        ((9.0, 0.1), ("OK", "OK"), 1),
        ((9.0, 8.0), ("OK", "OK"), 1),
        ((8.0, 9.0), ("OK", "OK"), 0),
        ((9.0,), ("INTERNAL",), 0),
        ((8.0, 9.0), ("OK", "INTERNAL"), 1),
    ],
)
def test_a_slow_call_is_repeated_once_and_the_faster_outcome_counts(
    monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, ...], statuses: tuple[str, ...], expected: int
) -> None:
    outcomes = [CallOutcome("a", "Project", *each) for each in zip(statuses, seconds, strict=True)]
    remaining = iter(outcomes)
    monkeypatch.setattr(module, "send", lambda *_: next(remaining))
    assert send_with_retry("a", "Project", print, None) is outcomes[expected]
    assert next(remaining, None) is None


def test_a_traceback_is_a_fault() -> None:
    assert faults(tracebacks=2) == ["2 tracebacks in the log of the service"]


def test_growth_after_the_first_round_is_a_fault() -> None:
    message = "memory grew by 11.0% after the first round; allowed: 10%"
    assert faults(resident=(100, 200, 222, 201)) == [message]


@pytest.mark.parametrize("resident", [(100.0, None, None), (100.0, 200.0, None)])
def test_a_service_that_has_ended_is_a_fault(resident: tuple[float | None, ...]) -> None:
    assert faults(resident=resident) == ["the service has ended"]


def test_every_regular_file_is_listed(tmp_path: Path) -> None:
    for name in ("b.txt", ".hidden/a", "a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "circle").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe")
    assert files_of(tmp_path) == [".hidden/a", "a.png", "b.txt"]


def test_a_folder_of_odd_files_is_sent_in_two_rounds(tmp_path: Path) -> None:
    corpus, store = tmp_path / "corpus", tmp_path / "store"
    corpus.mkdir()
    write_random_model(store, "tiny", 1)
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(file, "PNG")
    for name, data in (
        ("whole.png", file.getvalue()),
        ("cut.png", file.getvalue()[:100]),
        ("[a].txt", b"text"),
    ):
        (corpus / name).write_bytes(data)
    (corpus / "empty").touch()
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.corpus", corpus, "--store", store, "--growth", "1"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "ZFSCOPE_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    result = json.loads(process.stdout.splitlines()[-1])
    assert (result["files"], result["rounds"], result["faults"], result["tracebacks"]) == (4, 2, [], 0)
    assert result["outcomes"] == {
        "Classify": {"INVALID_ARGUMENT": 6, "OK": 2},
        "Project": {"INVALID_ARGUMENT": 6, "OK": 2},
    }
    assert len(result["rss_mib"]) == 3


def test_a_folder_without_files_is_rejected(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.corpus", tmp_path],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert f"'{tmp_path}' has no files" in done.stderr
