"""A client that leaves cancels its analysis; a page that stops cancels all of them."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.held_analyzer import HeldAnalyzer
from tests.support.page_server import PageClient, multipart, running_page
from tests.support.service_process import wait_until
from zfscope.analysis.registry import RegisteredAnalyzer, Registry
from zfscope.local import LocalClient
from zfscope.page import events


@pytest.fixture
def held(store: Path) -> Iterator[LocalClient]:
    """A client with an analyzer that runs until it is released or cancelled."""
    with LocalClient(store) as client:
        client.__dict__["registry"] = Registry([RegisteredAnalyzer(HeldAnalyzer(), "held", "1.0")])
        yield client


def head_and_body(folder: Path, photo: bytes, accept: str) -> bytes:
    """Return a request for the analyzer `held`."""
    parameters = json.dumps({"parameters": {"folder": str(folder)}})
    body, kind = multipart(("photos", photo), ("parameters", parameters))
    head = (
        f"POST /v1/analyze/held HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nAccept: {accept}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def waiting(page: PageClient, folder: Path, photo: bytes, accept: str) -> Iterator[socket.socket]:
    """Send a request, and wait until its analysis runs."""
    with socket.create_connection(page.address, timeout=60) as connection:
        connection.sendall(head_and_body(folder, photo, accept))
        wait_until((folder / "begun").exists, "the analysis runs")
        yield connection


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_client_that_leaves_cancels_its_analysis(
    held: LocalClient, photo: bytes, tmp_path: Path, accept: str
) -> None:
    with running_page(held) as page:
        with waiting(page, tmp_path, photo, accept):
            pass
        wait_until((tmp_path / "cancelled").exists, "the analysis is cancelled")
        wait_until(lambda: page.server.state.budget.used == 0, "the reserved bytes are released")


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_page_that_stops_cancels_its_analyses_at_once(
    held: LocalClient, photo: bytes, tmp_path: Path, accept: str
) -> None:
    with running_page(held) as page, waiting(page, tmp_path, photo, accept) as connection:
        started = time.monotonic()
        page.server.stop()
        received = b""
        while more := connection.recv(65536):
            received += more
        assert time.monotonic() - started < 5
        assert b'"reason": "CANCELLED"' in received or b'"reason":"CANCELLED"' in received
    assert (tmp_path / "cancelled").exists()


def test_analyses_over_the_limit_are_rejected_and_others_answer_meanwhile(
    held: LocalClient, photo: bytes, tmp_path: Path
) -> None:
    with running_page(held, workers=1, queue=0) as page:
        with waiting(page, tmp_path, photo, "application/json"):
            answer = page.upload(
                "v1/analyze/held", ("photos", photo), ("parameters", '{"parameters": {"folder": "/"}}')
            )
            assert (answer.status, answer.error["reason"]) == (429, "BUSY")
            assert answer.headers["retry-after"] == "1"
            assert page.get("v1/models").status == 200
            assert page.upload("v1/classify", ("photo", photo)).status == 200
        assert threading.active_count() < 50


def test_a_queued_request_ends_with_a_sentence_when_the_page_stops(
    held: LocalClient, photo: bytes, tmp_path: Path
) -> None:
    with (
        running_page(held, workers=1) as page,
        waiting(page, tmp_path, photo, "application/json"),
        socket.create_connection(page.address, timeout=60) as queued,
    ):
        queued.sendall(head_and_body(tmp_path, photo, "application/json"))
        lane = page.server.state.analyses
        wait_until(lambda: lane.length == 2, "the second request is queued")
        page.server.stop()
        received = b""
        while more := queued.recv(65536):
            received += more
    assert received.startswith(b"HTTP/1.1 499 ")
    assert b"CANCELLED" in received
    assert (tmp_path / "begun").read_text().count("\n") == 1


def test_a_silent_analysis_sends_comments_and_an_error_is_an_event(
    held: LocalClient, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_KEEPALIVE_S", 0.05)
    with running_page(held) as page:
        with waiting(page, tmp_path, photo, "text/event-stream") as connection:
            received = b""
            while b": still running" not in received:
                received += connection.recv(65536)
        parameters = json.dumps({"parameters": {"folder": 5}})
        parts = ("photos", photo), ("parameters", parameters)
        answer = page.upload("v1/analyze/held", *parts, Accept="text/event-stream")
    name, _, data = answer.body.decode().strip().partition("\ndata: ")
    error = json.loads(data)["error"]
    assert (answer.status, name) == (200, "event: error")
    assert (error["reason"], error["field"]) == ("INPUT_ERROR", "parameters.folder")
