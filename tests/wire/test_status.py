"""Mapping between exceptions and statuses."""

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from zfscope import errors
from zfscope.errors import Busy, FetchFailed
from zfscope.wire.status import error_of, status_of


def detail(status: status_pb2.Status, kind: type[Message]) -> Message | None:
    """Unpack the first detail of a type; return None if the status has none."""
    for packed in status.details:
        message = kind()
        if packed.Unpack(message):
            return message
    return None


class FailedCall(grpc.RpcError, grpc.Call):
    """A failed call with a status of the service, or with only a code, as for failures inside grpc."""

    def __init__(self, code: grpc.StatusCode, message: str, status: status_pb2.Status | None = None) -> None:
        self._code, self._message, self._status = code, message, status

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._message

    def trailing_metadata(self) -> list[tuple[str, bytes]]:
        return [("grpc-status-details-bin", self._status.SerializeToString())] if self._status else []

    initial_metadata = is_active = time_remaining = cancel = add_callback = lambda self: None


def failed(status: status_pb2.Status) -> FailedCall:
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    return FailedCall(code, status.message, status)


ERRORS = [
    (errors.InputError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.TooLarge, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.DamagedModel, grpc.StatusCode.DATA_LOSS),
    (errors.DamagedIndex, grpc.StatusCode.DATA_LOSS),
    (errors.NotReady, grpc.StatusCode.UNAVAILABLE),
    (errors.TooMuchWork, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (Busy, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.Cancelled, grpc.StatusCode.CANCELLED),
    (errors.RuntimeUnavailable, grpc.StatusCode.UNAVAILABLE),
    (errors.Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (errors.Forbidden, grpc.StatusCode.PERMISSION_DENIED),
]


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_every_error_has_a_status_and_is_restored_from_it(
    error: type[errors.ZfscopeError], code: grpc.StatusCode
) -> None:
    status = status_of(error("what is wrong", field="units[2].y"), request_id="r1")

    assert status.code == code.value[0]
    assert status.message == "units[2].y: what is wrong"
    received = error_of(failed(status))
    assert (type(received), received.message, received.field) == (error, "what is wrong", "units[2].y")


def test_every_error_class_is_in_the_table() -> None:
    # A broken plugin prevents the start, a service neither fetches models nor writes files for callers, and a
    # failed analyzer is reported like any internal error.
    not_for_callers = {
        FetchFailed,
        errors.BrokenPlugin,
        errors.AnalyzerFailed,
        errors.CannotWrite,
        errors.MissingExtra,
    }
    assert set(errors.ZfscopeError.__subclasses__()) - not_for_callers <= {error for error, _ in ERRORS}


def test_a_subclass_has_the_status_of_its_closest_base_class() -> None:
    class SmallImage(errors.InputError):
        """An error that is not in the table."""

    status = status_of(SmallImage("too small"), request_id="r1")

    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert type(error_of(failed(status))) is errors.InputError


@pytest.mark.parametrize(
    "error", [RuntimeError("/etc/secret"), errors.AnalyzerFailed("/etc/secret"), KeyError("/etc/secret")]
)
def test_an_unexpected_exception_is_internal_and_discloses_nothing(error: Exception) -> None:
    status = status_of(error, request_id="r17")

    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert status.message == "the service failed; see its log for request id r17"
    assert b"secret" not in status.SerializeToString()
    assert type(error_of(failed(status))) is errors.ZfscopeError


def test_the_status_of_a_failed_analyzer_names_analyzer_and_package_only() -> None:
    error = errors.AnalyzerFailed("/etc/secret", analyzer="blur", package="zfscope-blur", version="1.2")
    status = status_of(error, request_id="r17")

    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert status.message == (
        "analyzer 'blur' (zfscope-blur 1.2) failed; see the service's log for request id r17"
    )
    names = {"analyzer": "blur", "package": "zfscope-blur", "version": "1.2", "request_id": "r17"}
    assert dict(detail(status, error_details_pb2.ErrorInfo).metadata) == names
    assert b"secret" not in status.SerializeToString()


def test_an_input_error_has_a_bad_request_with_the_field() -> None:
    status = status_of(errors.InputError("top is 0", field="top"), request_id="r1")

    bad_request = detail(status, error_details_pb2.BadRequest)
    assert [(violation.field, violation.description) for violation in bad_request.field_violations] == [
        ("top", "top is 0")
    ]


def test_the_details_have_the_reason_the_field_and_the_request_id() -> None:
    status = status_of(errors.NotFound("no layer 'x'", field="layer"), request_id="r1")

    info = detail(status, error_details_pb2.ErrorInfo)
    assert (info.domain, info.reason) == ("zfscope", "NOT_FOUND")
    assert dict(info.metadata) == {"field": "layer", "request_id": "r1"}
    assert detail(status, error_details_pb2.RequestInfo).request_id == "r1"
    assert detail(status, error_details_pb2.BadRequest) is None


@pytest.mark.parametrize("error", [Busy("full"), errors.NotReady("loading")])
def test_a_retryable_error_has_a_retry_delay(error: errors.ZfscopeError) -> None:
    retry = detail(status_of(error, request_id="r1"), error_details_pb2.RetryInfo)

    assert retry.retry_delay.seconds == 1


def test_other_errors_have_no_retry_delay() -> None:
    assert detail(status_of(errors.TooMuchWork("much"), request_id="r1"), error_details_pb2.RetryInfo) is None


def test_a_message_that_starts_with_its_field_is_not_prefixed() -> None:
    assert status_of(errors.InputError("top is 0", field="top"), request_id="r1").message == "top is 0"


@pytest.mark.parametrize("letter", ["a", "€", "\ud800"])
def test_a_long_message_is_truncated_to_fit_the_trailers(letter: str) -> None:
    status = status_of(errors.NotFound(f"no model '{letter * 1_000_000}'", field="model"), request_id="r1")

    assert status.ByteSize() < 3_000
    assert status.message.endswith(" ...")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.NotReady),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.Cancelled),
        (grpc.StatusCode.CANCELLED, errors.Cancelled),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.TooMuchWork),
        (grpc.StatusCode.UNIMPLEMENTED, errors.ZfscopeError),
    ],
)
def test_a_failure_not_reported_by_the_service_becomes_the_matching_error(
    code: grpc.StatusCode, error: type[errors.ZfscopeError]
) -> None:
    received = error_of(FailedCall(code, "from grpc"))

    assert type(received) is error
    assert received.message == f"{code.name.lower().replace('_', ' ')}: from grpc"


def test_a_status_of_another_domain_becomes_a_general_error() -> None:
    status = status_of(errors.NotFound("nothing"), request_id="r1")
    info = error_details_pb2.ErrorInfo(domain="elsewhere", reason="NOT_FOUND")
    status.details[0].Pack(info)

    assert type(error_of(failed(status))) is errors.ZfscopeError


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Stream removed (Deadline Exceeded)"),  # expired while it arrived
        (grpc.StatusCode.UNKNOWN, "Stream removed"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, ""),  # a proxy without messages
    ],
)
def test_the_status_of_the_service_counts_if_that_of_the_call_differs(
    code: grpc.StatusCode, message: str
) -> None:
    sent = status_of(errors.TooLate("the call exceeded its deadline", field="occlude"), request_id="r1")

    received = error_of(FailedCall(code, message, sent))

    assert (type(received), received.message) == (errors.TooLate, "the call exceeded its deadline")
    assert received.field == "occlude"


@pytest.mark.parametrize("detail", [False, True])
def test_a_damaged_status_is_not_that_of_the_service(detail: bool) -> None:
    sent = status_of(errors.NotFound("nothing"), request_id="r1")
    sent.details[0].value = b"\xff"
    call = FailedCall(grpc.StatusCode.NOT_FOUND, "nothing", sent)
    if not detail:
        call.trailing_metadata = lambda: [("grpc-status-details-bin", b"\xff")]  # type: ignore[method-assign]

    assert error_of(call).message == "not found: nothing"
