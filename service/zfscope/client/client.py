"""The client itself: one method for each RPC."""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from zfscope.client import answers, decode
from zfscope.client.access import Access
from zfscope.client.channel import open_channel
from zfscope.client.files import limited
from zfscope.client.requests import (
    CorrespondOptions,
    EvolveOptions,
    InvarianceOptions,
    OccludeOptions,
    Photo,
    ProjectOptions,
    TopKOptions,
    analyze_request,
    compare_request,
    correspond_request,
    evolve_request,
    image_to_wire,
    invariance_request,
    occlude_request,
    project_request,
    top_k_request,
)
from zfscope.client.retry import failure_of, is_refused, pauses
from zfscope.client.target import parse_target
from zfscope.errors import Cancelled, InputError, NotReady, ZfscopeError
from zfscope.images.geometry import Box
from zfscope.wire.settings import read_settings
from zfscope.wire.status import MAX_REQUEST_BYTES
from zfscope.v1 import analysis_pb2, classification_pb2, model_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub
from zfscope.v1.classification_pb2_grpc import ClassificationServiceStub
from zfscope.v1.model_pb2_grpc import ModelServiceStub

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)
_HEALTH_S = 2.0
"""The least time of a health check: after its further attempts, in 1.7 s, it has the reason."""


class Client:
    """A connection to a service; close it, or use it as a context manager. Many threads may share it.

    A call that no service has begun is sent again, up to three times. One that takes longer than the timeout
    raises Cancelled; a service that is not there, or goes away, NotReady.
    """

    def __init__(self, address: str, *, timeout_s: float = 60, access: Access | None = None) -> None:
        """Open a connection; nothing is sent yet.

        address: HOST:PORT, http://HOST:PORT, or any target that gRPC knows, each with its port; of several
        replicas `dns:///HOST:PORT`, a name that resolves to all of them, or
        `ipv4:10.0.0.1:50051,10.0.0.2:50051`. timeout_s: of each call.
        access: TLS and a token; unset: as the environment says.
        Connections to this machine never use the environment's proxy.
        Raises InputError for an address or an access that cannot be used.
        """
        access = access or read_settings(Access)
        target = parse_target(address)
        credentials = access.credentials_for(target)
        self._address = target.text
        self._proxy = target.proxy
        self._closed = False
        self._timeout_s = timeout_s
        self._metadata = access.metadata(target, tls=credentials is not None)
        self._channel = open_channel(target, credentials, server_name=access.tls_server_name)
        self._models = ModelServiceStub(self._channel)
        self._classification = ClassificationServiceStub(self._channel)
        self._analysis = AnalysisServiceStub(self._channel)
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, which cancels calls that are in progress."""
        self._closed = True
        self._channel.close()

    def health(self) -> str:
        """Ask how the service is: `SERVING`, or `NOT_SERVING` while it loads its model or shuts down."""
        return self._check(self._timeout_s)

    def wait_until_ready(self, timeout_s: float = 30) -> None:
        """Wait until the service is SERVING. Raises NotReady when it is not in time."""
        end = time.monotonic() + timeout_s
        while (state := self._state(end)) != "SERVING":
            if time.monotonic() > end:
                raise NotReady(f"{self._address} is not serving after {timeout_s:g} s: {state}")
            time.sleep(0.05)

    def models(self) -> tuple[answers.ModelSummary, ...]:
        """List the models of the service, by name, the newest version first."""
        answer = self._call(self._models.ListModels, model_pb2.ListModelsRequest())
        return tuple(decode.summary(model) for model in answer.models)

    def model(self, name: str = "", version: int | None = None) -> answers.ModelInfo:
        """Describe a model, layer by layer; the default one unless named. Raises NotFound."""
        with self._sendable():
            request = model_pb2.GetModelRequest(model=name, version=version)
        return decode.model(self._call(self._models.GetModel, request))

    def classify(
        self,
        photo: Photo,
        *,
        model: str = "",
        version: int | None = None,
        top: int | None = None,
        ten_crop: bool = False,
    ) -> answers.Classification:
        """Give the likeliest classes of a photo, 5 unless `top` says otherwise.

        ten_crop: average over ten crops. Raises InputError, NotFound, and TooMuchWork of a busy service.
        """
        with self._sendable():
            request = classification_pb2.ClassifyRequest(
                model=model, version=version, image=image_to_wire(photo), top=top, ten_crop=ten_crop
            )
        return decode.classification(self._call(self._classification.Classify, request))

    def project(self, photo: Photo, **options: Unpack[ProjectOptions]) -> answers.Projections:
        """Give what units of a layer saw in a photo.

        Raises InputError, NotFound for a model, layer or unit, and TooMuchWork for too many units or of a
        busy service.
        """
        with self._sendable():
            request = project_request(photo, options)
        return decode.projections(self._call(self._analysis.Project, request))

    def occlude(self, photo: Photo, **options: Unpack[OccludeOptions]) -> answers.Occlusion:
        """Cover a photo piece by piece, and give what that does to its classes and to a feature map.

        Raises InputError, NotFound for a model, layer or map, TooMuchWork for too many windows or of a busy
        service, Cancelled where it takes longer than the client's timeout.
        """
        with self._sendable():
            request = occlude_request(photo, options)
        return decode.occlusion(self._call(self._analysis.Occlude, request))

    def measure_invariance(
        self, photos: Sequence[Photo], **options: Unpack[InvarianceOptions]
    ) -> answers.Invariance:
        """Move, scale and turn photos, and give how far their features and classes go with it.

        Raises InputError, NotFound for a model, layer or label, TooMuchWork for too many values or of a busy
        service, Cancelled where it takes longer than the client's timeout.
        """
        with self._sendable():
            request = invariance_request(photos, options)
        return decode.invariance(self._call(self._analysis.MeasureInvariance, request))

    def correspond(
        self,
        photos: Sequence[Photo],
        parts: Mapping[str, Sequence[Box]],
        **options: Unpack[CorrespondOptions],
    ) -> answers.Correspondence:
        """Cover the same part in different photos, and give how alike that changes their features.

        parts: by name, each with a box in pixels of the photo for each photo, in order.
        Raises InputError, NotFound for a model or layer, TooMuchWork for too many photos, parts and random
        boxes or of a busy service, Cancelled where it takes longer than the client's timeout.
        """
        with self._sendable():
            request = correspond_request(photos, parts, options)
        return decode.correspondence(self._call(self._analysis.Correspond, request))

    def compare_architectures(
        self,
        models: Sequence[str],
        photos: Sequence[Photo],
        *,
        index: str = "",
        pictures: bool = True,
        tensors: bool = False,
    ) -> answers.Comparison:
        """Put models, each NAME or NAME:VERSION, side by side on the same photos.

        index: that each model has, to count the maps that are dead on all its photos. Raises InputError for
        fewer than two models or ones that do not compare, NotFound, TooMuchWork, and
        Cancelled where it takes longer than the client's timeout.
        """
        with self._sendable():
            request = compare_request(models, photos, index=index, pictures=pictures, tensors=tensors)
        return decode.comparison(self._call(self._analysis.CompareArchitectures, request))

    def top_k(self, **options: Unpack[TopKOptions]) -> answers.TopK:
        """Give the photos of an index of the service that activate maps most, with what units saw in them.

        Raises InputError for what is not allowed, NotFound for a model, index, layer or map, TooMuchWork, and
        Cancelled where it takes longer than the client's timeout.
        """
        with self._sendable():
            request = top_k_request(options)
        return decode.top_k(self._call(self._analysis.TopK, request))

    def evolve(self, **options: Unpack[EvolveOptions]) -> answers.Evolution:
        """Give what excited maps most after each stored epoch of the training, and how fast they settled.

        Raises InputError for what is not allowed, NotFound for a model, layer, map or epoch,
        for a model without checkpoints and an epoch without an index, TooMuchWork, and Cancelled where it
        takes longer than the client's timeout.
        """
        with self._sendable():
            request = evolve_request(options)
        return decode.evolution(self._call(self._analysis.Evolve, request))

    def analyzers(self, model: str = "", version: int | None = None) -> tuple[answers.AnalyzerInfo, ...]:
        """List the analyzers of the service, with their costs for a model."""
        with self._sendable():
            request = analysis_pb2.ListAnalyzersRequest(model=model, version=version)
        answer = self._call(self._analysis.ListAnalyzers, request)
        return tuple(decode.analyzer(found) for found in answer.analyzers)

    def analyze(
        self,
        analyzer: str,
        photos: Sequence[Photo],
        parameters: Mapping[str, Any] = MappingProxyType({}),
        *,
        model: str = "",
        version: int | None = None,
        pictures: bool = True,
        tensors: bool = False,
        progress: Callable[[answers.Progress], None] | None = None,
    ) -> answers.Analyzed:
        """Run any analyzer on photos, for up to the service's `max_deadline_s`, by default 900 seconds.

        The client's own timeout does not apply. parameters: by name, as the analyzer's schema says. progress:
        is called with each report. Raises InputError, NotFound for the analyzer, the model or what it lacks,
        TooMuchWork, Cancelled for an analysis that takes longer, and NotReady where the service is not there
        or goes away: at once if it had begun, else after further attempts.
        """
        with self._sendable():
            request = analyze_request(
                analyzer,
                photos,
                parameters,
                model=model,
                version=version,
                pictures=pictures,
                tensors=tensors,
            )
        with closing(self._messages(self._analysis.Analyze, request)) as messages:
            for message in messages:
                if message.WhichOneof("message") == "result":
                    return decode.analyzed(message.result)
                if progress:
                    progress(decode.progress(message.progress))
        raise NotReady("the service ended the analysis without a result; ask again")

    def _check(self, timeout_s: float) -> str:
        answer = self._call(self._health.Check, health_pb2.HealthCheckRequest(), timeout_s=timeout_s)
        status: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        return status

    def _state(self, end: float) -> str:
        """Return the state of the service, or why it is unknown. end: of the wait, `time.monotonic()`."""
        try:
            return self._check(min(self._timeout_s, max(end - time.monotonic(), _HEALTH_S)))
        except (NotReady, Cancelled) as error:
            return error.message

    def _call(
        self, method: Callable[..., Answer], request: Message, *, timeout_s: float | None = None
    ) -> Answer:
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + timeout_s
        try:
            return method(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._failure(error, deadline) from None

    def _messages(
        self, method: Callable[..., Any], request: Message
    ) -> Generator[analysis_pb2.AnalyzeResponse]:
        """Yield the messages of a stream, which is sent again while no service has begun it."""
        waits = pauses()
        while True:
            call = method(request, metadata=self._metadata)
            try:
                yield from call
                return
            except grpc.RpcError as error:
                failure = self._failure(error, math.inf)
                again_s = next(waits, None)
                if again_s is None or not is_refused(error) or not isinstance(failure, NotReady):
                    raise failure from None
            finally:
                call.cancel()  # where it is not over: the reader left
            time.sleep(again_s)

    def _max_request_bytes(self) -> int | None:
        """Ask the service for its limit, each time, as it may be another one; None where it is unknown."""
        try:
            _, call = self._health.Check.with_call(
                health_pb2.HealthCheckRequest(), timeout=self._timeout_s, metadata=self._metadata
            )
        except grpc.RpcError:  # the request itself will say why
            return None
        found = next((text for key, text in call.trailing_metadata() if key == MAX_REQUEST_BYTES), "")
        return int(found) if found.isdecimal() else None

    def _failure(self, call: grpc.RpcError, deadline: float) -> ZfscopeError:
        """Return the error of a failed call, with the proxy that may be what was not reached."""
        connection = str(self._proxy or "")
        return failure_of(call, deadline=deadline, closed=self._closed, connection=connection)

    @contextmanager
    def _sendable(self) -> Iterator[None]:
        """Turn what protobuf says of a value that a field cannot hold into an InputError.

        Images are held against the limit of the service before they are copied into a request.
        """
        try:
            with limited(self._max_request_bytes):
                yield
        except (TypeError, ValueError) as error:
            raise InputError(f"a value that cannot be sent: {error}") from error
