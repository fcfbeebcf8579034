"""ListAnalyzers and Analyze over the wire, by analyzers that behave and by some that do not."""

import asyncio
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import EntryPoint, entry_points, version
from types import ModuleType
from typing import Any, ClassVar

import grpc
import numpy as np
import pytest
from google.protobuf import struct_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from pydantic import BaseModel, ConfigDict, Field, field_validator

from zfscope.analysis import registry
from zfscope.analysis.contract import Analysis, Context, Picture, Table
from zfscope.analysis.reserved import GROUP
from zfscope.client import Client, Progress
from zfscope.errors import Cancelled, InputError, NotFound, TooMuchWork, ZfscopeError
from zfscope.server.settings import Settings
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1 import image_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub

PICTURE = Picture("seen", b"\x89PNG\r\n\x1a\n", "nothing")


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")

    steps: int = Field(default=3, ge=1, description="How many.")
    level: float = Field(default=0.5, le=1, description="How much.")
    rest_s: float = Field(default=0.01, ge=0, description="Seconds between steps.")


class Base:
    summary = "A part of a test"
    api_version = 2
    photos = (1, 2)
    params = Params

    def cost(self, model: Any, params: Params) -> int:
        return params.steps


class Counting(Base):
    """Goes on step by step, and tells so."""

    name = "counting"
    begun: ClassVar[threading.Event] = threading.Event()
    stopped: ClassVar[threading.Event] = threading.Event()
    shown: ClassVar[list[int]] = []

    def analyze(self, context: Context, params: Params) -> Analysis:
        self.begun.set()
        try:
            for step in range(params.steps):
                context.check_cancelled()
                context.progress(step / params.steps, partial(self._show, step))
                time.sleep(params.rest_s)
        finally:
            self.stopped.set()
        table = Table(("name", "share", "count"), (("a", 0.25, 2), (None, 1.5, None)))
        levels = np.arange(6, dtype=np.float32).reshape(2, 3)
        return Analysis(numbers={"photos": len(context.images)}, tables={"t": table}, tensors={"x": levels})

    def _show(self, step: int) -> Analysis:
        self.shown.append(step)
        return Analysis(numbers={"step": step}, tensors={"step": np.array([step])})


class Failing(Base):
    name = "failing"

    def analyze(self, context: Context, params: Params) -> Analysis:
        raise RuntimeError("a secret of the inside")


ENDINGS: dict[str, BaseException] = {
    "SystemExit": SystemExit("bye"),
    "KeyboardInterrupt": KeyboardInterrupt("bye"),
    "GeneratorExit": GeneratorExit("bye"),
    "CancelledError": asyncio.CancelledError("bye"),
}


class Ending(Base):
    """Raises at a stage what would end a process or a task."""

    name = "ending"

    class params(BaseModel):  # noqa: N801  (the contract's name)
        stage: str = "cost"
        raised: str = "SystemExit"

        @field_validator("stage")
        @classmethod
        def _read(cls, stage: str) -> str:
            if stage == "read":
                raise ENDINGS["SystemExit"]
            return stage

    def cost(self, model: Any, params: Any) -> int:
        if params.stage == "cost":
            raise ENDINGS[params.raised]
        return 1

    def analyze(self, context: Context, params: Any) -> Analysis:
        def fail() -> Analysis:
            raise ENDINGS[params.raised]

        if params.stage == "thread":
            threading.Thread(target=sys.exit, args=["bye"]).start()
            return Analysis()
        context.progress(0.5, fail if params.stage == "progress" else None)
        return fail()


SPOILT: tuple[Any, ...] = (
    {"numbers": {"mean": "0.5"}},
    {"tables": {"t": Table(("a",), ((float("inf"),),))}},
    {"tensors": {"x": np.zeros(0, np.float32)}},
    {"pictures": (PICTURE, PICTURE)},
)


class Spoiling(Base):
    """Gives one of the things that cannot be sent, at once or as what there is to see already."""

    name = "spoiling"

    class params(BaseModel):  # noqa: N801  (the contract's name)
        case: int = 0
        early: bool = False
        steps: int = 1

    def analyze(self, context: Context, params: Any) -> Analysis:
        spoilt = Analysis(**SPOILT[params.case])
        if params.early:
            context.progress(0.5, lambda: spoilt)
        return Analysis() if params.early else spoilt


class Refusing(Base):
    """Refuses at each stage what its parameter names."""

    name = "refusing"

    class params(BaseModel):  # noqa: N801  (the contract's name)
        field: str
        stage: str = "analyze"

        @field_validator("stage")
        @classmethod
        def _read(cls, stage: str) -> str:
            refuse(stage, "read", "stage")
            return stage

    def cost(self, model: Any, params: Any) -> int:
        refuse(params.stage, "cost", params.field)
        return 1

    def analyze(self, context: Context, params: Any) -> Analysis:
        refuse(params.stage, "analyze", params.field)
        return Analysis()


def refuse(stage: str, this_one: str, field: str) -> None:
    if stage == this_one:
        raise InputError("not so", field=field)


class Numpy(Base):
    name = "numpy"

    def analyze(self, context: Context, params: Params) -> Analysis:
        row = (np.float32(0.5), np.int64(3), np.bool_(True), np.str_("a"))
        return Analysis(numbers={"mean": np.float32(0.25)}, tables={"t": Table(tuple("abcd"), (row,))})


class Deaf(Base):
    """Never looks whether anyone waits."""

    name = "deaf"
    begun: ClassVar[threading.Event] = threading.Event()
    released: ClassVar[threading.Event] = threading.Event()

    def analyze(self, context: Context, params: Params) -> Analysis:
        self.begun.set()
        assert self.released.wait(timeout=60)
        return Analysis()


class Catalogue(Base):
    """Looks at the models, and at no photo."""

    name = "catalogue"
    photos = (0, 0)

    def analyze(self, context: Context, params: Params) -> Analysis:
        assert context.store is not None
        assert context.images == ()
        found = tuple((manifest.name, manifest.version) for manifest in context.store.manifests())
        return Analysis(tables={"models": Table(("name", "version"), found)})


class Distribution:
    """A package, as far as it is looked at."""

    name, version = "zfscope-odd", "1.2"


@pytest.fixture
def odd_client(
    settings: Settings, make_service: Callable[[Settings], Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Client]:
    """A client of a service that has the analyzers above too."""
    module = ModuleType("odd_analyzers")
    odd = {
        kind.name: kind for kind in (Counting, Failing, Ending, Spoiling, Refusing, Numpy, Deaf, Catalogue)
    }
    vars(module).update({kind.__name__: kind for kind in odd.values()})
    monkeypatch.setitem(sys.modules, "odd_analyzers", module)
    points = [EntryPoint(name, f"odd_analyzers:{kind.__name__}", GROUP) for name, kind in odd.items()]
    for point in points:
        vars(point)["dist"] = Distribution()
    monkeypatch.setattr(registry, "entry_points", lambda group: [*entry_points(group=group), *points])
    service = make_service(settings.model_copy(update={"max_passes": 5_000}))
    service.call(service.service.warm_up())
    for event in (Counting.begun, Counting.stopped, Deaf.begun, Deaf.released):
        event.clear()
    Counting.shown.clear()
    with Client(service.address) as client:
        yield client


def stub_of(client: Client) -> AnalysisServiceStub:
    return AnalysisServiceStub(client._channel)


def test_analyzers_are_listed_with_who_brought_them_and_what_they_take(odd_client: Client) -> None:
    listed = {found.name: found for found in odd_client.analyzers()}
    assert {"project", "counting", "failing"} <= set(listed)
    brought = {name: (found.distribution, found.version) for name, found in listed.items()}
    assert brought["project"] == brought["correspond"] == ("zfscope", version("zfscope"))
    assert brought["counting"] == brought["deaf"] == ("zfscope-odd", "1.2")
    project = listed["project"]
    assert (project.photos, project.cost) == ((1, 1), 10)
    assert project.parameters_schema["properties"]["top"]["default"] == 9
    assert listed["counting"].cost == 3
    assert listed["counting"].photos == (1, 2)


def test_an_analysis_of_models_takes_no_photo(odd_client: Client, photo: bytes) -> None:
    found = odd_client.analyze("catalogue", []).analysis.tables["models"].rows
    assert found == (("other", 1), ("tiny", 1), ("tiny", 2))
    with pytest.raises(InputError, match="1 photos; 'catalogue' takes 0") as refusal:
        odd_client.analyze("catalogue", [photo])
    assert refusal.value.field == "images"
    with pytest.raises(TooMuchWork, match="would cost 5,001 forward passes with these parameters; one"):
        odd_client.analyze("catalogue", [], {"steps": 5_001})


def test_an_analysis_tells_how_far_it_is_and_then_what_it_found(odd_client: Client, photo: bytes) -> None:
    told: list[Progress] = []
    found = odd_client.analyze("counting", [photo, photo], {"steps": 30}, tensors=True, progress=told.append)

    assert (found.model, found.version) == ("tiny", 2)
    assert found.analysis.numbers == {"photos": 2}
    assert found.analysis.tables["t"].records() == [
        {"name": "a", "share": 0.25, "count": 2},
        {"name": None, "share": 1.5, "count": None},
    ]
    np.testing.assert_array_equal(found.analysis.tensors["x"], [[0, 1, 2], [3, 4, 5]])
    assert told
    shares = [progress.fraction for progress in told]
    assert shares == sorted(shares)
    shown = {told.fraction: told.partial.numbers["step"] for told in told if told.partial is not None}
    assert shares[0] in shown
    assert all(step == pytest.approx(30 * share) for share, step in shown.items())


def test_what_there_is_to_see_already_is_made_only_to_be_read(odd_client: Client, photo: bytes) -> None:
    told: list[Progress] = []
    odd_client.analyze("counting", [photo], {"steps": 1_000, "rest_s": 0}, progress=told.append)
    assert Counting.shown == [told.partial.numbers["step"] for told in told if told.partial is not None]
    assert 1 <= len(Counting.shown) < 1_000


def test_any_analyzer_answers_as_its_own_rpc_does(client: Client, photo: bytes) -> None:
    own = client.project(photo, top=2, tensors=True)
    seen = client.analyze("project", [photo], {"top": 2}, tensors=True).analysis

    assert [row["map"] for row in seen.tables["projections"].records()] == [p.map for p in own.projections]
    np.testing.assert_array_equal(seen.tensors["projections"][0], own.projections[0].tensor)
    assert own.sheet is not None
    assert [picture.name for picture in seen.pictures][-1] == own.sheet.name


@pytest.mark.parametrize(
    ("analyzer", "parameters", "photos", "error", "field", "told"),
    [
        (
            "nothing",
            {},
            1,
            NotFound,
            "analyzer",
            "analyzer 'nothing' not found; available: catalogue, compare-architectures, correspond, counting",
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
            "speed is not known; allowed are steps, level, rest_s",
        ),
        ("counting", {}, 0, InputError, "images", "0 photos; 'counting' takes 1 to 2"),
        ("counting", {}, 3, InputError, "images", "3 photos; 'counting' takes 1 to 2"),
        ("refusing", {"field": "field"}, 1, InputError, "parameters.field", "not so"),
        (
            "refusing",
            {"field": "field", "stage": "cost"},
            1,
            InputError,
            "parameters.field",
            "not so",
        ),
        ("refusing", {"field": "", "stage": "read"}, 1, InputError, "parameters.stage", "not so"),
        ("refusing", {"field": "images[0]"}, 1, InputError, "images[0]", "not so"),
        ("counting", {"steps": 5001}, 1, TooMuchWork, "parameters", "5,001 forward passes.*5,000"),
    ],
)
def test_what_cannot_be_analyzed_is_refused_with_field_value_and_what_is_allowed(
    odd_client: Client,
    photo: bytes,
    analyzer: str,
    parameters: dict[str, Any],
    photos: int,
    error: type[ZfscopeError],
    field: str,
    told: str,
) -> None:
    with pytest.raises(error, match=told) as refusal:
        odd_client.analyze(analyzer, [photo] * photos, parameters)
    assert refusal.value.field == field


def test_a_photo_that_is_missing_is_named_by_its_place(
    odd_client: Client, refused: Callable[..., Any]
) -> None:
    request = pb.AnalyzeRequest(analyzer="counting", images=[image_pb2.Image()])

    refusal = refused(lambda *asked, **limits: list(stub_of(odd_client).Analyze(*asked, **limits)), request)

    assert (refusal.code, refusal.field) == (grpc.StatusCode.INVALID_ARGUMENT, "images[0]")


def test_every_wrong_field_is_a_violation_of_its_own(odd_client: Client, photo: bytes) -> None:
    struct = struct_pb2.Struct()
    struct.update({"steps": -1, "level": 2})
    request = pb.AnalyzeRequest(
        analyzer="counting", images=[image_pb2.Image(encoded=photo)], parameters=struct
    )
    with pytest.raises(grpc.RpcError) as failure:
        list(stub_of(odd_client).Analyze(request))

    status = rpc_status.from_call(failure.value)
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    assert [violation.field for violation in bad.field_violations] == ["parameters.steps", "parameters.level"]


def test_numbers_that_json_cannot_hold_are_refused(odd_client: Client, photo: bytes) -> None:
    with pytest.raises(InputError, match="JSON cannot") as refusal:
        odd_client.analyze("counting", [photo], {"level": float("nan")})
    assert refusal.value.field == "parameters"


def test_an_analyzer_that_fails_harms_only_its_own_request_and_is_named_in_the_log(
    odd_client: Client, photo: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ZfscopeError, match="request id") as failure:
        odd_client.analyze("failing", [photo], {})
    assert "secret" not in failure.value.message
    fault = "the service failed: analyzer 'failing' (zfscope-odd 1.2) failed; see its log for"
    assert failure.value.message.startswith(fault)
    log = " ".join(capfd.readouterr().out.split())
    assert "analyzer 'failing' (zfscope-odd 1.2) failed: RuntimeError: a secret of the inside" in log
    assert failure.value.message.split()[-1] in log
    for field in ("analyzer", "package", "version"):
        assert re.search(rf"\b{field}=", re.sub(r"\x1b\[[0-9;]*m", "", log)), log
    assert odd_client.analyze("counting", [photo], {}).analysis.numbers == {"photos": 1}


@pytest.mark.parametrize("early", [False, True])
def test_what_cannot_be_sent_harms_only_the_request_that_asked_for_it(
    odd_client: Client, photo: bytes, refused: Callable[..., Any], early: bool
) -> None:
    for case in range(len(SPOILT)):
        struct = struct_pb2.Struct()
        struct.update({"case": case, "early": early})
        images = [image_pb2.Image(encoded=photo)]
        request = pb.AnalyzeRequest(analyzer="spoiling", images=images, parameters=struct, tensors=True)

        refusal = refused(lambda *asked, **given: list(stub_of(odd_client).Analyze(*asked, **given)), request)

        assert refusal.code is grpc.StatusCode.INTERNAL, SPOILT[case]
        fault = "analyzer 'spoiling' (zfscope-odd 1.2) failed; see its log for request id "
        assert refusal.message.startswith(f"the service failed: {fault}")
    assert odd_client.analyze("counting", [photo], {}).analysis.numbers == {"photos": 1}


def test_numbers_of_numpy_s_are_sent_as_numbers(odd_client: Client, photo: bytes) -> None:
    found = odd_client.analyze("numpy", [photo], {}).analysis
    assert found.numbers == {"mean": 0.25}
    assert found.tables["t"].rows == ((0.5, 3, 1, "a"),)


def test_an_analyzer_that_nobody_waits_for_stops(odd_client: Client, photo: bytes) -> None:
    struct = struct_pb2.Struct()
    struct.update({"steps": 4000})
    request = pb.AnalyzeRequest(
        analyzer="counting", images=[image_pb2.Image(encoded=photo)], parameters=struct
    )
    call = stub_of(odd_client).Analyze(request)
    next(call)
    call.cancel()
    assert Counting.stopped.wait(timeout=60)


def test_an_analysis_that_takes_longer_than_its_deadline_stops(odd_client: Client, photo: bytes) -> None:
    struct = struct_pb2.Struct()
    struct.update({"steps": 4000})
    request = pb.AnalyzeRequest(
        analyzer="counting", images=[image_pb2.Image(encoded=photo)], parameters=struct
    )
    with pytest.raises(grpc.RpcError) as failure:
        list(stub_of(odd_client).Analyze(request, timeout=0.5))
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    # On a busy machine the deadline may pass before the analysis begins.
    assert not Counting.begun.is_set() or Counting.stopped.wait(timeout=60)


def test_an_analyzer_that_never_looks_keeps_no_other_request_waiting(
    odd_client: Client, photo: bytes
) -> None:
    deaf = stub_of(odd_client).Analyze(
        pb.AnalyzeRequest(analyzer="deaf", images=[image_pb2.Image(encoded=photo)])
    )
    assert Deaf.begun.wait(timeout=60)
    deaf.cancel()
    assert odd_client.analyze("counting", [photo], {}).analysis.numbers == {"photos": 1}
    Deaf.released.set()
    with pytest.raises(grpc.RpcError):
        next(deaf)


def test_a_cancelled_projection_is_told_so(client: Client, photo: bytes) -> None:
    with Client(client._connection.target.text, timeout_s=0.001) as hasty, pytest.raises(Cancelled):
        hasty.project(photo, top=9)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_analyzer_that_ends_a_process_fails_its_own_call_alone(
    odd_client: Client, photo: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    def read(_: Progress) -> None:
        """Read what can be shown early."""

    faults = [(stage, raised) for stage in ("analyze", "progress", "cost") for raised in ENDINGS]
    for stage, raised in [*faults, ("read", "SystemExit")]:
        with pytest.raises(ZfscopeError) as failure:
            odd_client.analyze("ending", [photo], {"stage": stage, "raised": raised}, progress=read)
        assert type(failure.value) is ZfscopeError
        fault = "the service failed: analyzer 'ending' (zfscope-odd 1.2) failed; see its log for "
        assert failure.value.message.startswith(f"{fault}request id ")
        log = " ".join(capfd.readouterr().out.split())
        fault = f"analyzer 'ending' (zfscope-odd 1.2) failed: {raised}: bye; this is a bug in the package"
        assert fault in log
        assert odd_client.health() == "SERVING"
    assert odd_client.analyze("ending", [photo], {"stage": "thread"}).analysis.numbers == {}
    assert odd_client.classify(photo).model == "tiny"
    assert {found.name: found.cost for found in odd_client.analyzers()}["ending"] is None
