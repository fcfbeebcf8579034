"""Unusable photos, and requests that are too large, too slow or too many: a sentence each, bounded memory."""

import hashlib
import socket
import struct
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from tempfile import SpooledTemporaryFile

import pytest

from tests.page.conftest import photo_file
from tests.support.page_server import Answer, PageClient, multipart, running_page
from tests.support.service_process import wait_until
from zfscope.local import LocalClient
from zfscope.page import serve

_MIB = 1 << 20


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(side: int) -> bytes:
    """Return a small PNG file of side x side black pixels."""
    rows = zlib.compressobj()
    line = b"\0" * (1 + side // 8)
    data = b"".join(rows.compress(line * 100) for _ in range(side // 100)) + rows.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def assert_error(answer: Answer, status: int, reason: str, text: str) -> None:
    assert (answer.status, answer.error["reason"]) == (status, reason)
    assert text in answer.error["message"]


def is_idle(page: PageClient) -> bool:
    return page.server.state.budget.used == 0


def test_a_text_file_is_rejected_with_its_reason(page: PageClient) -> None:
    for path in ("v1/photos", "v1/classify"):
        answer = page.upload(path, ("photo", b"not a photo at all"))
        assert_error(answer, 400, "INPUT_ERROR", "photo is not an image")
        assert answer.error["field"] == "photo"


def test_a_png_of_a_gigapixel_is_rejected_before_it_is_decoded(page: PageClient) -> None:
    file = huge_png(30_000)
    assert len(file) < _MIB
    answer = page.upload("v1/photos", ("photo", file))
    assert_error(answer, 413, "TOO_LARGE", "30000 x 30000")


def test_a_photo_of_20_megabytes_is_accepted_and_never_written_to_disk(
    page: PageClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: object) -> None:
        raise AssertionError("a part was written to disk")

    monkeypatch.setattr(SpooledTemporaryFile, "rollover", fail)
    photo = photo_file(size=(2600, 2600), kind="BMP")
    assert len(photo) > 20_000_000
    answer = page.upload("v1/photos", ("photo", photo))
    assert (answer.json["width"], answer.json["bytes"]) == (2600, len(photo))
    wait_until(lambda: is_idle(page), "the reserved bytes are released")


def test_the_response_to_an_oversized_request_arrives(
    local: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZFSCOPE_MAX_IMAGE_BYTES", "1000")
    with running_page(local) as page:
        answer = page.upload("v1/photos", ("photo", bytes(6 * _MIB)))
        assert_error(answer, 413, "TOO_LARGE", "allowed: at most 4,195,304 (its max_image_bytes, and 4")
        assert page.get("v1/session").json["max_photo_bytes"] == 1000
        wait_until(lambda: is_idle(page), "the reserved bytes are released")


def test_a_hundred_uploads_at_once_stay_within_the_limits(local: LocalClient) -> None:
    with running_page(local, upload_bytes=4 * _MIB, photos=10, photo_bytes=4 * _MIB) as page:

        def upload(number: int) -> Answer:
            return page.upload("v1/photos", ("photo", photo_file(number, (400, 300), "BMP")))

        with ThreadPoolExecutor(32) as threads:
            answers = list(threads.map(upload, range(100)))
        count = Counter(answer.status for answer in answers)
        assert set(count) <= {200, 429}
        assert count[200] >= 1
        busy = [answer for answer in answers if answer.status == 429]
        assert all(answer.headers["retry-after"] == "1" for answer in busy)
        photos = page.server.state.photos
        assert (len(photos) <= 10, photos.bytes <= 4 * _MIB) == (True, True)
        wait_until(lambda: is_idle(page), "the reserved bytes are released")
        assert upload(0).status == 200


def test_a_photo_that_is_gone_is_named(local: LocalClient, photo: bytes) -> None:
    with running_page(local, photos=1) as page:
        first, second = (page.request("POST", "v1/photos", photo_file(seed)).json["photo"] for seed in (1, 2))
        assert page.post("v1/classify", {"photo": second}).status == 200
        for answer in (page.post("v1/classify", {"photo": first}), page.get(f"v1/photos/{first}")):
            assert_error(answer, 404, "NOT_FOUND", "is not in memory; the last 1 photos are kept")
            assert answer.error["field"] == "photo"
        answer = page.post("v1/analyze/project", {"photos": [second, first]})
        assert answer.error["field"] == "photos[1]"


def test_a_client_that_sends_too_slowly_is_told(local: LocalClient, photo: bytes) -> None:
    body, kind = multipart(("photo", photo))
    with (
        running_page(local, upload_timeout_s=0.3) as page,
        socket.create_connection(page.address, timeout=60) as slow,
    ):
        head = f"POST /v1/photos HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        slow.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:100])
        received = b""
        while b"}}" not in received:
            received += slow.recv(4096)
        assert received.startswith(b"HTTP/1.1 408 ")
        assert b"too slowly; allowed: 0.3 s in total" in received


def test_a_client_that_sends_nothing_is_disconnected(
    local: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_HEAD_S", 0.2)
    with running_page(local) as page, socket.create_connection(page.address, timeout=60) as silent:
        silent.sendall(b"GET / HTTP/1.1\r\nHo")
        assert silent.recv(100) == b""
    with running_page(local) as page, socket.create_connection(page.address, timeout=60) as second:
        second.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz")
        received = b""
        while more := second.recv(4096):
            received += more
        assert received.count(b"HTTP/1.1 200 OK") == 1


def test_requests_over_the_limit_of_connections_are_rejected_until_one_closes(local: LocalClient) -> None:
    with running_page(local, max_connections=2) as page:
        held = [socket.create_connection(page.address, timeout=60) for _ in range(2)]
        for each in held:
            each.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert each.recv(4096).startswith(b"HTTP/1.1 200 ")
        rejected = page.get("v1/models")
        assert_error(
            rejected, 429, "BUSY", "3 connections are open; allowed: at most 2; try again in a moment"
        )
        assert rejected.headers["Retry-After"] == "1"
        assert rejected.headers["Connection"] == "close"
        assert rejected.headers["X-Request-Id"]
        held[0].close()
        while page.get("v1/models").status != 200:  # the server notices it a little later
            pass
        held[1].close()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", "photo: missing; it is required"),
        ("[]", "the body is a JSON array; allowed: an object"),
        ("{", "the body is not valid JSON"),
        ('{"top": NaN}', "the body is not valid JSON"),
        ("[" * 100_000, "the body is not valid JSON"),
        ('{"photo": "abc"}', "photo: not a photo; allowed: the hash of an uploaded photo"),
        ('{"photo": {"base64": "%"}}', "photo: base64 is not valid"),
        ('{"photo": "/etc/passwd"}', "photo: not a photo"),
    ],
)
def test_an_invalid_body_is_rejected_with_its_reason(page: PageClient, body: str, text: str) -> None:
    answer = page.request("POST", "v1/classify", body, {"Content-Type": "application/json"})
    assert_error(answer, 400, "INPUT_ERROR", text)


def test_invalid_members_are_named_like_in_every_client(page: PageClient, photo: bytes) -> None:
    known = page.upload("v1/photos", ("photo", photo)).json["photo"]
    answer = page.post("v1/project", {"photo": known, "lyer": "conv1"})
    assert_error(answer, 400, "INPUT_ERROR", "did you mean 'layer'?")
    answer = page.post("v1/project", {"photo": known, "layer": "conv9"})
    assert_error(answer, 404, "NOT_FOUND", "conv9")
    assert answer.error["field"] == "layer"
    answer = page.post("v1/project", {"photo": known, "top": "9"})
    assert_error(answer, 400, "INPUT_ERROR", "top: ")
    answer = page.post("v1/analyze/project", {"photos": [known], "parameters": {"top": 0}})
    assert (answer.status, answer.error["field"]) == (400, "parameters.top")
    answer = page.post("v1/analyze/nothing", {"photos": [known]})
    assert_error(answer, 404, "NOT_FOUND", "nothing")


def test_invalid_multipart_bodies_are_rejected(page: PageClient) -> None:
    kind = {"Content-Type": "multipart/form-data"}
    assert_error(page.request("POST", "v1/classify", b"x", kind), 400, "INPUT_ERROR", "boundary")
    answer = page.upload("v1/classify", ("photo", "text instead of a file"))
    assert_error(answer, 400, "INPUT_ERROR", "has no file name")
    answer = page.upload("v1/classify", ("other", b"x"))
    assert_error(answer, 400, "INPUT_ERROR", "part 'other' is not known; allowed: photo, photos, masks")
    answer = page.request("POST", "v1/classify", b"x", {"Content-Type": "text/plain"})
    assert_error(answer, 400, "INPUT_ERROR", "content type is 'text/plain'; allowed: application/json and")


def test_links_expire(local: LocalClient, photo: bytes) -> None:
    with running_page(local, result_s=0.2) as page:
        sheet = page.upload("v1/project", ("photo", photo)).json["sheet"]
        time.sleep(0.3)
        assert_error(page.get(sheet["url"]), 404, "NOT_FOUND", "run the analysis again")
        digest = hashlib.sha256(b"never").hexdigest()
        assert page.get(f"v1/pictures/{digest}.png").status == 404
