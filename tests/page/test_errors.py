"""Errors over HTTP: one table of statuses, and nothing from inside."""

from typing import Any

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


@pytest.mark.parametrize(
    ("path", "members", "field", "text"),
    [
        ("classify", {"top": 10**29}, "top", "top: invalid value: Value out of range"),
        ("analyze/activations", {"photo": None, "photos": []}, "photos", "0 photos; 'activations' takes 1"),
        (
            "activations",
            {"pictures": "none"},
            "pictures",
            "pictures: Input should be true, false or 'inline'",
        ),
        (
            "project",
            {"layer": "conv5", "units": [[1]]},
            "units[0]",
            "units[0]: Input should be a JSON object",
        ),
        (
            "project",
            {"layer": "conv5", "units": [{"map": 1, "y": 1}]},
            "units[0]",
            "units[0] is invalid: give both y",
        ),
        (
            "compare-architectures",
            {"photo": None, "photos": [], "models": ["tiny", f"tiny:{'9' * 5000}"]},
            "models[1]",
            "models[1]: invalid value: Exceeds the limit",
        ),
    ],
)
def test_an_invalid_member_is_named(
    page: PageClient, photo: bytes, path: str, members: dict[str, Any], field: str, text: str
) -> None:
    digest = page.upload("v1/photos", ("photo", photo)).json["photo"]
    known = {name: value for name, value in {"photo": digest, **members}.items() if value is not None}
    answer = page.post(f"v1/{path}", known)
    assert (answer.status, answer.error["reason"], answer.error["field"]) == (400, "INPUT_ERROR", field)
    assert answer.error["message"].startswith(text)


@pytest.mark.parametrize("path", ["v1/models?modle=tiny", "v1/analyzers?modle=tiny", "v1/view?modle=tiny"])
def test_an_unknown_query_parameter_is_named(page: PageClient, path: str) -> None:
    answer = page.get(path)
    assert (answer.status, answer.error["field"]) == (400, "modle")
    assert answer.error["message"].startswith("modle is not known; ")


def test_a_probe_may_add_a_query_of_its_own(page: PageClient) -> None:
    assert page.get("healthz?from=probe").status == 200


@pytest.mark.parametrize(
    ("second", "field"),
    [
        (("photo", b"another"), "photo"),
        (("parameters", '{"photo": "hash"}'), "photo"),
        (("parameters", '{"top": 2}'), "top"),
    ],
)
def test_a_member_of_a_form_is_set_once(
    page: PageClient, photo: bytes, second: tuple[str, Any], field: str
) -> None:
    answer = page.upload("v1/classify", ("photo", photo), ("parameters", '{"top": 1}'), second)
    assert (answer.status, answer.error["field"]) == (400, field)
    assert answer.error["message"] == f"{field} is set more than once; set it once"


def test_parameters_that_are_not_json_are_named(page: PageClient, photo: bytes) -> None:
    answer = page.upload("v1/classify", ("photo", photo), ("parameters", "{"))
    assert (answer.status, answer.error["field"]) == (400, "parameters")
