"""ListAnalyzers and Analyze over the wire, with analyzers that follow the contract and some that break it."""

import re
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import struct_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.server.services.fake_analyzers import (
    ANALYZERS,
    EXITS,
    INVALID_RESULTS,
    CountingAnalyzer,
    FakeDistribution,
    UncancellableAnalyzer,
)
from zfscope.analysis import registry
from zfscope.analysis.reserved import GROUP
from zfscope.client import Client, Progress
from zfscope.errors import Cancelled, InputError, NotFound, TooMuchWork, ZfscopeError
from zfscope.server.settings import Settings
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1 import image_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub


@pytest.fixture
def fake_client(
    settings: Settings, make_service: Callable[[Settings], Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Client]:
    """A client of a service that also has the fake analyzers."""
    points = [EntryPoint(kind.name, f"{kind.__module__}:{kind.__name__}", GROUP) for kind in ANALYZERS]
    for point in points:
        vars(point)["dist"] = FakeDistribution()
    monkeypatch.setattr(registry, "entry_points", lambda group: [*entry_points(group=group), *points])
    service = make_service(settings.model_copy(update={"max_passes": 5_000}))
    service.warm_up()
    for event in (
        CountingAnalyzer.started,
        CountingAnalyzer.stopped,
        UncancellableAnalyzer.started,
        UncancellableAnalyzer.released,
    ):
        event.clear()
    CountingAnalyzer.partial_steps.clear()
    with Client(service.address) as client:
        yield client


def stub_of(client: Client) -> AnalysisServiceStub:
    return AnalysisServiceStub(client._channel)


def analyze_all(client: Client) -> Callable[..., list[pb.AnalyzeResponse]]:
    """Return a function that calls Analyze and reads the whole stream."""
    return lambda request, **options: list(stub_of(client).Analyze(request, **options))


def test_analyzers_are_listed_with_package_photos_cost_and_parameters(fake_client: Client) -> None:
    listed = {analyzer.name: analyzer for analyzer in fake_client.analyzers()}
    assert {"project", "counting", "failing"} <= set(listed)
    packages = {name: (analyzer.distribution, analyzer.version) for name, analyzer in listed.items()}
    assert packages["project"] == packages["correspond"] == ("zfscope", version("zfscope"))
    assert packages["counting"] == packages["uncancellable"] == ("zfscope-fake", "1.2")
    project = listed["project"]
    assert (project.photos, project.cost) == ((1, 1), 10)
    assert project.parameters_schema["properties"]["top"]["default"] == 9
    assert listed["counting"].cost == 3
    assert listed["counting"].photos == (1, 2)


def test_an_analyzer_of_models_takes_no_photos(fake_client: Client, photo: bytes) -> None:
    rows = fake_client.analyze("catalogue", []).analysis.tables["models"].rows
    assert rows == (("other", 1), ("tiny", 1), ("tiny", 2))
    with pytest.raises(InputError, match="1 photo; 'catalogue' takes 0") as caught:
        fake_client.analyze("catalogue", [photo])
    assert caught.value.field == "images"
    with pytest.raises(TooMuchWork, match="would cost 5,001 forward passes with these parameters; allowed"):
        fake_client.analyze("catalogue", [], {"steps": 5_001})


def test_an_analysis_reports_progress_and_then_its_result(fake_client: Client, photo: bytes) -> None:
    reports: list[Progress] = []
    result = fake_client.analyze(
        "counting", [photo, photo], {"steps": 30}, tensors=True, progress=reports.append
    )

    assert (result.model, result.version) == ("tiny", 2)
    assert result.analysis.numbers == {"photos": 2}
    assert result.analysis.tables["t"].records() == [
        {"name": "a", "share": 0.25, "count": 2},
        {"name": None, "share": 1.5, "count": None},
    ]
    np.testing.assert_array_equal(result.analysis.tensors["x"], [[0, 1, 2], [3, 4, 5]])
    assert reports
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions)
    steps = {
        report.fraction: report.partial.numbers["step"] for report in reports if report.partial is not None
    }
    assert fractions[0] in steps
    assert all(step == pytest.approx(30 * fraction) for fraction, step in steps.items())


def test_partial_results_are_computed_only_if_they_are_sent(fake_client: Client, photo: bytes) -> None:
    reports: list[Progress] = []
    fake_client.analyze("counting", [photo], {"steps": 1_000, "rest_s": 0}, progress=reports.append)
    assert CountingAnalyzer.partial_steps == [
        report.partial.numbers["step"] for report in reports if report.partial is not None
    ]
    assert 1 <= len(CountingAnalyzer.partial_steps) < 1_000


def test_partial_results_can_be_declined(fake_client: Client, photo: bytes) -> None:
    reports: list[Progress] = []
    parameters = {"steps": 30, "rest_s": 0}
    fake_client.analyze("counting", [photo], parameters, progress=reports.append, partial_results=False)
    assert reports
    assert not any(report.partial for report in reports)
    assert not CountingAnalyzer.partial_steps


def test_analyze_returns_the_same_as_the_typed_rpc(client: Client, photo: bytes) -> None:
    typed = client.project(photo, top=2, tensors=True)
    untyped = client.analyze("project", [photo], {"top": 2}, tensors=True).analysis

    maps = [row["map"] for row in untyped.tables["projections"].records()]
    assert maps == [projection.map for projection in typed.projections]
    np.testing.assert_array_equal(untyped.tensors["projections"][0], typed.projections[0].tensor)
    assert typed.sheet is not None
    assert [picture.name for picture in untyped.pictures][-1] == typed.sheet.name


@pytest.mark.parametrize(
    ("analyzer", "parameters", "photos", "error", "field", "message"),
    [
        (
            "nothing",
            {},
            1,
            NotFound,
            "analyzer",
            "analyzer 'nothing' not found; available: activations, catalogue, compare-architectures",
        ),
        ("", {}, 1, NotFound, "analyzer", "analyzer '' not found"),
        ("counting", {"steps": 0}, 1, InputError, "parameters.steps", "steps is 0"),
        ("counting", {"steps": 1.5}, 1, InputError, "parameters.steps", "steps is 1.5"),
        (
            "counting",
            {"speed": 1},
            1,
            InputError,
            "parameters.speed",
            "speed is not known; allowed: steps, level, rest_s",
        ),
        ("counting", {}, 0, InputError, "images", "0 photos; 'counting' takes 1 to 2"),
        ("counting", {}, 3, InputError, "images", "3 photos; 'counting' takes 1 to 2"),
        ("rejecting", {"field": "field"}, 1, InputError, "parameters.field", "not so"),
        (
            "rejecting",
            {"field": "field", "stage": "cost"},
            1,
            InputError,
            "parameters.field",
            "not so",
        ),
        ("rejecting", {"field": "", "stage": "read"}, 1, InputError, "parameters.stage", "not so"),
        ("rejecting", {"field": "images[0]"}, 1, InputError, "images[0]", "not so"),
        ("counting", {"steps": 5001}, 1, TooMuchWork, "parameters", "5,001 forward passes.*5,000"),
    ],
)
def test_errors_name_the_field_its_value_and_what_is_allowed(
    fake_client: Client,
    photo: bytes,
    analyzer: str,
    parameters: dict[str, Any],
    photos: int,
    error: type[ZfscopeError],
    field: str,
    message: str,
) -> None:
    with pytest.raises(error, match=message) as caught:
        fake_client.analyze(analyzer, [photo] * photos, parameters)
    assert caught.value.field == field


def test_the_error_has_the_index_of_a_missing_photo(
    fake_client: Client, call_error: Callable[..., Any]
) -> None:
    request = pb.AnalyzeRequest(analyzer="counting", images=[image_pb2.Image()])

    error = call_error(analyze_all(fake_client), request)

    assert (error.code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, "images[0]")


def test_every_invalid_field_is_a_separate_violation(fake_client: Client, photo: bytes) -> None:
    struct = struct_pb2.Struct()
    struct.update({"steps": -1, "level": 2})
    request = pb.AnalyzeRequest(
        analyzer="counting", images=[image_pb2.Image(encoded=photo)], parameters=struct
    )
    with pytest.raises(grpc.RpcError) as caught:
        list(stub_of(fake_client).Analyze(request))

    status = rpc_status.from_call(caught.value)
    bad_request = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad_request) for detail in status.details)
    assert [violation.field for violation in bad_request.field_violations] == [
        "parameters.steps",
        "parameters.level",
    ]


def test_numbers_that_json_cannot_represent_are_rejected(fake_client: Client, photo: bytes) -> None:
    with pytest.raises(InputError, match="not valid JSON") as caught:
        fake_client.analyze("counting", [photo], {"level": float("nan")})
    assert caught.value.field == "parameters"


def test_a_failing_analyzer_fails_only_its_own_call_and_is_named_in_the_log(
    fake_client: Client, photo: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ZfscopeError, match="request id") as caught:
        fake_client.analyze("failing", [photo], {})
    assert "secret" not in caught.value.message
    message = "analyzer 'failing' (zfscope-fake 1.2) failed; see the service's log for"
    assert caught.value.message.startswith(message)
    log = " ".join(capfd.readouterr().out.split())
    assert "analyzer 'failing' (zfscope-fake 1.2) failed: RuntimeError: an internal secret" in log
    assert caught.value.message.split()[-1] in log
    for field in ("analyzer", "package", "version"):
        assert re.search(rf"\b{field}=", re.sub(r"\x1b\[[0-9;]*m", "", log)), log
    assert fake_client.analyze("counting", [photo], {}).analysis.numbers == {"photos": 1}


@pytest.mark.parametrize("early", [False, True])
def test_an_invalid_result_fails_only_its_own_call(
    fake_client: Client, photo: bytes, call_error: Callable[..., Any], early: bool
) -> None:
    for case in range(len(INVALID_RESULTS)):
        struct = struct_pb2.Struct()
        struct.update({"case": case, "early": early})
        images = [image_pb2.Image(encoded=photo)]
        request = pb.AnalyzeRequest(analyzer="invalid", images=images, parameters=struct, tensors=True)

        error = call_error(analyze_all(fake_client), request)

        assert error.code is grpc.StatusCode.INTERNAL, INVALID_RESULTS[case]
        message = "analyzer 'invalid' (zfscope-fake 1.2) failed; see the service's log for request id "
        assert error.message.startswith(message)
    assert fake_client.analyze("counting", [photo], {}).analysis.numbers == {"photos": 1}


def test_numpy_scalars_are_sent_as_numbers(fake_client: Client, photo: bytes) -> None:
    result = fake_client.analyze("numpy", [photo], {}).analysis
    assert result.numbers == {"mean": 0.25}
    assert result.tables["t"].rows == ((0.5, 3, 1, "a"),)


def test_an_analyzer_stops_when_its_call_is_cancelled(fake_client: Client, photo: bytes) -> None:
    struct = struct_pb2.Struct()
    struct.update({"steps": 4000})
    request = pb.AnalyzeRequest(
        analyzer="counting", images=[image_pb2.Image(encoded=photo)], parameters=struct
    )
    call = stub_of(fake_client).Analyze(request)
    next(call)
    call.cancel()
    assert CountingAnalyzer.stopped.wait(timeout=60)


def test_an_analyzer_stops_when_the_deadline_expires(fake_client: Client, photo: bytes) -> None:
    struct = struct_pb2.Struct()
    struct.update({"steps": 4000})
    request = pb.AnalyzeRequest(
        analyzer="counting", images=[image_pb2.Image(encoded=photo)], parameters=struct
    )
    with pytest.raises(grpc.RpcError) as caught:
        list(stub_of(fake_client).Analyze(request, timeout=0.5))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    # On a busy machine the deadline may expire before the analysis starts.
    assert not CountingAnalyzer.started.is_set() or CountingAnalyzer.stopped.wait(timeout=60)


def test_an_analyzer_that_ignores_cancellation_does_not_delay_other_calls(
    fake_client: Client, photo: bytes
) -> None:
    uncancellable = stub_of(fake_client).Analyze(
        pb.AnalyzeRequest(analyzer="uncancellable", images=[image_pb2.Image(encoded=photo)])
    )
    assert UncancellableAnalyzer.started.wait(timeout=60)
    uncancellable.cancel()
    assert fake_client.analyze("counting", [photo], {}).analysis.numbers == {"photos": 1}
    UncancellableAnalyzer.released.set()
    with pytest.raises(grpc.RpcError):
        next(uncancellable)


def test_a_projection_whose_deadline_expires_raises_cancelled(client: Client, photo: bytes) -> None:
    with Client(client._connection.target.text, timeout_s=0.001) as impatient, pytest.raises(Cancelled):
        impatient.project(photo, top=9)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_analyzer_that_raises_system_exit_fails_only_its_own_call(
    fake_client: Client, photo: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    def ignore(_: Progress) -> None:
        """Ignore progress; with a callback, the client requests partial results."""

    cases = [(stage, raised) for stage in ("analyze", "progress", "cost") for raised in EXITS]
    for stage, raised in [*cases, ("read", "SystemExit")]:
        with pytest.raises(ZfscopeError) as caught:
            fake_client.analyze("exiting", [photo], {"stage": stage, "raised": raised}, progress=ignore)
        assert type(caught.value) is ZfscopeError
        message = "analyzer 'exiting' (zfscope-fake 1.2) failed; see the service's log for "
        assert caught.value.message.startswith(f"{message}request id ")
        log = " ".join(capfd.readouterr().out.split())
        line = f"analyzer 'exiting' (zfscope-fake 1.2) failed: {raised}: bye; this is a bug in the package"
        assert line in log
        assert fake_client.health() == "SERVING"
    assert fake_client.analyze("exiting", [photo], {"stage": "thread"}).analysis.numbers == {}
    assert fake_client.classify(photo).model == "tiny"
    assert {analyzer.name: analyzer.cost for analyzer in fake_client.analyzers()}["exiting"] is None
