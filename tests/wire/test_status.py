"""Mapping between exceptions and statuses."""

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from zfscope import errors
from zfscope.errors import Busy, FetchFailed
from zfscope.wire.status import error_of, status_of


def detail(status: status_pb2.Status, kind: type[Message]) -> Message | None:
    """Unpack the detail of a kind, None when there is none."""
    for packed in status.details:
        message = kind()
        if packed.Unpack(message):
            return message
    return None


class FailedCall(grpc.RpcError, grpc.Call):
    """A call that failed with a status, or with a bare code as grpc's own failures do."""

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
]


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_every_error_has_its_status_and_comes_back_as_itself(
    error: type[errors.ZfscopeError], code: grpc.StatusCode
) -> None:
    status = status_of(error("what is wrong", field="units[2].y"), request_id="r1")

    assert status.code == code.value[0]
    assert status.message == "units[2].y: what is wrong"
    back = error_of(failed(status))
    assert (type(back), back.message, back.field) == (error, "what is wrong", "units[2].y")


def test_no_kind_of_error_was_forgotten() -> None:
    # A broken plugin stops the start, and no service fetches or writes files of a caller's; a fault of an
    # analyzer is reported like any fault of the service.
    not_for_callers = {
        FetchFailed,
        errors.BrokenPlugin,
        errors.AnalyzerFailed,
        errors.CannotWrite,
        errors.MissingExtra,
    }
    assert set(errors.ZfscopeError.__subclasses__()) - not_for_callers <= {error for error, _ in ERRORS}


def test_a_subclass_has_the_status_of_its_nearest_parent_in_the_table() -> None:
    class SmallImage(errors.InputError):
        """An error that the table does not know."""

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


def test_the_status_of_a_failed_analyzer_names_it_and_its_package_and_nothing_from_inside() -> None:
    error = errors.AnalyzerFailed("/etc/secret", analyzer="blur", package="zfscope-blur", version="1.2")
    status = status_of(error, request_id="r17")

    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert status.message == (
        "the service failed: analyzer 'blur' (zfscope-blur 1.2) failed; see its log for request id r17"
    )
    names = {"analyzer": "blur", "package": "zfscope-blur", "version": "1.2", "request_id": "r17"}
    assert dict(detail(status, error_details_pb2.ErrorInfo).metadata) == names
    assert b"secret" not in status.SerializeToString()


def test_an_input_error_is_a_bad_request_with_the_field() -> None:
    status = status_of(errors.InputError("top is 0", field="top"), request_id="r1")

    bad_request = detail(status, error_details_pb2.BadRequest)
    assert [(found.field, found.description) for found in bad_request.field_violations] == [
        ("top", "top is 0")
    ]


def test_the_details_name_class_field_and_request_for_programs() -> None:
    status = status_of(errors.NotFound("no layer 'x'", field="layer"), request_id="r1")

    info = detail(status, error_details_pb2.ErrorInfo)
    assert (info.domain, info.reason) == ("zfscope", "NOT_FOUND")
    assert dict(info.metadata) == {"field": "layer", "request_id": "r1"}
    assert detail(status, error_details_pb2.RequestInfo).request_id == "r1"
    assert detail(status, error_details_pb2.BadRequest) is None


@pytest.mark.parametrize("error", [Busy("full"), errors.NotReady("loading")])
def test_where_trying_again_helps_the_status_says_when(error: errors.ZfscopeError) -> None:
    retry = detail(status_of(error, request_id="r1"), error_details_pb2.RetryInfo)

    assert retry.retry_delay.seconds == 1


def test_where_trying_again_does_not_help_the_status_does_not_say_so() -> None:
    assert detail(status_of(errors.TooMuchWork("much"), request_id="r1"), error_details_pb2.RetryInfo) is None


def test_a_message_that_names_its_field_is_not_given_the_name_twice() -> None:
    assert status_of(errors.InputError("top is 0", field="top"), request_id="r1").message == "top is 0"


@pytest.mark.parametrize("letter", ["a", "€", "\ud800"])
def test_a_message_of_any_length_fits_into_the_trailers(letter: str) -> None:
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
    found = error_of(FailedCall(code, "from grpc"))

    assert type(found) is error
    assert found.message == f"{code.name.lower().replace('_', ' ')}: from grpc"


def test_a_status_of_another_service_is_not_taken_for_ours() -> None:
    status = status_of(errors.NotFound("nothing"), request_id="r1")
    info = error_details_pb2.ErrorInfo(domain="elsewhere", reason="NOT_FOUND")
    status.details[0].Pack(info)

    assert type(error_of(failed(status))) is errors.ZfscopeError
