"""Errors over HTTP: one table of statuses, and nothing from inside."""

import pytest

from tests.support.page_server import PageClient
from zfscope import errors
from zfscope.page.errors import error_body, error_response
from zfscope.wire.http_status import HTTP_STATUSES
from zfscope.wire.status import ERROR_STATUSES, INTERNAL


def test_every_reason_of_the_wire_has_an_http_status() -> None:
    assert set(HTTP_STATUSES) == {status.reason for status in (*ERROR_STATUSES.values(), INTERNAL)}


def test_only_errors_that_may_pass_invite_a_retry() -> None:
    retried = {
        error.__name__
        for error in ERROR_STATUSES
        if "retry-after" in error_response(error("reason"), request_id="r1").headers
    }
    assert retried == {"Busy", "NotReady", "RuntimeUnavailable"}


def test_an_unexpected_error_is_logged_and_not_disclosed(caplog: pytest.LogCaptureFixture) -> None:
    status, body = error_body(ValueError("a secret path"), request_id="r1")
    assert (status, body["error"]["reason"]) == (500, "INTERNAL")
    assert body["error"]["message"] == "the page failed; see its log for request id r1"
    assert "a secret path" in caplog.text


def test_a_failed_analyzer_is_named() -> None:
    error = errors.AnalyzerFailed(
        "text from inside", analyzer="gradcam", package="zfscope-gradcam", version="1"
    )
    _, body = error_body(error, request_id="r1")
    expected = "analyzer 'gradcam' (zfscope-gradcam 1) failed; see the page's log for request id r1"
    assert body["error"]["message"] == expected


def test_an_internal_error_of_the_service_keeps_its_message() -> None:
    message = "the service failed; see its log for request id r2"
    _, body = error_body(errors.ZfscopeError(message), request_id="r1")
    assert body["error"]["message"] == message


def test_fields_of_images_are_named_like_the_members_of_a_request() -> None:
    error = errors.InputError("images[1].encoded is not an image", field="images[1].encoded")
    status, body = error_body(error, request_id="r1")
    assert (status, body["error"]["field"]) == (400, "photos[1]")
    assert body["error"]["message"] == "photos[1] is not an image"


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "v1/nothing", 404, "NOT_FOUND"),
        ("POST", "v1/nothing", 404, "NOT_FOUND"),
        ("GET", "nothing.html", 404, "NOT_FOUND"),
        ("DELETE", "v1/models", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "v1/project", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "../../etc/passwd", 404, "NOT_FOUND"),
        ("GET", "..%2f..%2fetc/passwd", 404, "NOT_FOUND"),
        ("GET", "v1/models/tiny?version=x", 400, "INPUT_ERROR"),
        ("GET", "v1/models/nothing", 404, "NOT_FOUND"),
    ],
)
def test_a_wrong_path_or_method_is_an_error_like_any_other(
    page: PageClient, method: str, path: str, status: int, reason: str
) -> None:
    answer = page.request(method, path)
    assert (answer.status, answer.error["reason"]) == (status, reason)
