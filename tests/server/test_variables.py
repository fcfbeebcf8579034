"""Environment variables that look like settings but are unknown."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.forked import ForkedProcess
from zfscope.client import Access
from zfscope.server.settings import Settings, unknown_variables

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_unknown_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, _ in list(unknown_variables()):
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("ZFSCOPE_MAX_IMAGE_BYTE", "ZFSCOPE_MAX_IMAGE_BYTES"),
        ("zfscope_stroe", "ZFSCOPE_STORE"),
        ("ZFSCOPE_TOKENS", "ZFSCOPE_TOKEN"),
        ("ZFSCOPE_COLOUR_OF_THE_SKY", ""),
    ],
)
def test_an_unknown_variable_is_reported_with_the_closest_name(
    monkeypatch: pytest.MonkeyPatch, name: str, closest: str
) -> None:
    monkeypatch.setenv(name, "1")
    assert list(unknown_variables()) == [(name, closest)]


@pytest.mark.parametrize(
    "name",
    [
        *("ZFSCOPE_SERVICE_HOST", "ZFSCOPE_SERVICE_PORT", "ZFSCOPE_SERVICE_PORT_GRPC", "ZFSCOPE_PORT"),
        *("ZFSCOPE_PORT_50051_TCP", "ZFSCOPE_PORT_50051_TCP_ADDR", "ZFSCOPE_GPU_SERVICE_HOST"),
        *("ZFSCOPE_PUBLISH", "ZFSCOPE_MODELS", "ZFSCOPE_SECRETS", "ZFSCOPE_FUZZ", "ZFSCOPE_TRACEBACK"),
        "ANOTHER_VARIABLE",
    ],
)
def test_variables_set_or_read_by_other_programs_are_known(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    assert list(unknown_variables()) == []


def test_variables_of_service_client_and_repository_files_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (*Settings.model_fields, *Access.model_fields):
        monkeypatch.setenv(f"ZFSCOPE_{name.upper()}", "1")
    for file in (*ROOT.glob("docker-compose*.yml"), ROOT / "Dockerfile", ROOT / "Makefile"):
        for name in re.findall(r"\bZFSCOPE_[A-Z_]*[A-Z]", file.read_text()):
            monkeypatch.setenv(name, "1")
    assert list(unknown_variables()) == []


def test_the_service_logs_an_unknown_variable_once(
    start: Callable[..., ForkedProcess],
) -> None:
    process = start(max_image_byte=1000)
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=120)
    assert first.startswith("zfscope listens on"), log
    lines = [json.loads(line) for line in log.splitlines() if "unknown variable" in line]
    assert [(line["event"], line["variable"], line["nearest"]) for line in lines] == [
        ("unknown variable ignored", "ZFSCOPE_MAX_IMAGE_BYTE", "ZFSCOPE_MAX_IMAGE_BYTES")
    ]
