"""Calls built from the arguments of client methods, executed by a service or in this process."""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from functools import partial
from typing import Any, Generic, TypeVar, get_type_hints

from google.protobuf import struct_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2

from zfscope.answers import (
    ARCHITECTURES,
    Analyzed,
    AnalyzerInfo,
    Classification,
    IndexedPhoto,
    ModelInfo,
    ModelSummary,
    Progress,
)
from zfscope.answers.analysis import Size, TypedAnalysis, rename_fields
from zfscope.answers.architectures import MAX_MODELS
from zfscope.cancellation import Cancellation
from zfscope.client.arrays import attribution_to_wire
from zfscope.client.generated import AnalysisOptions, CallOptions
from zfscope.client.photos import Photo, image_to_wire, images_to_wire, masks_to_wire
from zfscope.client.shapes import polygons_to_wire
from zfscope.errors import InputError
from zfscope.images.geometry import Box
from zfscope.v1 import analysis_pb2, classification_pb2, image_pb2, model_pb2
from zfscope.validation import unknown_name
from zfscope.wire.convert import to_dataclass, to_message
from zfscope.wire.models import reference_of, version_of

A = TypeVar("A")
M = TypeVar("M", bound=Message)

# Options that are not parameters of the analyzer.
_COMMON = ("model", "version", "pictures", "tensors")
_CONTROL = ("timeout_s", "cancel", "progress", "partial_results")
_CALL = (*_COMMON, *_CONTROL)
# Maximum time limit, three years: gRPC misreads much longer ones as already expired.
_MAX_TIMEOUT_S = 1e8


def validate_timeout_s(timeout_s: float | None) -> float:
    """Return a time limit in seconds; None and infinity mean no limit. Raises InputError unless positive."""
    value: Any = timeout_s
    if value is None:
        return _MAX_TIMEOUT_S
    if not isinstance(value, int | float) or not value > 0:
        raise InputError(f"timeout_s is {value!r}; allowed: seconds above 0", field="timeout_s")
    return min(value, _MAX_TIMEOUT_S)


@dataclass(frozen=True, eq=False)
class UnaryCall(Generic[A]):
    """A call with one response. rpc: name of the RPC. read: converts the response to the return value."""

    rpc: str
    request: Message
    read: Callable[[Any], A]
    timeout_s: float | None = None
    cancel: Cancellation | None = None


@dataclass(frozen=True, eq=False)
class AnalysisRequest(Generic[A]):
    """Request for an analysis.

    analyzer: name of the analyzer. images: by request field. parameters: parameters of the analyzer.
    options: model, version, pictures and tensors. read: converts the analysis and the sizes of its photos to
    the return value. typed: set for an analysis with a dedicated RPC. partial_results: whether reports of
    progress have partial results; None for the default of the client.
    """

    analyzer: str
    images: Mapping[str, image_pb2.Image]
    parameters: Mapping[str, Any]
    options: Mapping[str, Any]
    read: Callable[[Analyzed, Sequence[Size]], A]
    typed: TypedAnalysis[A] | None = None
    timeout_s: float | None = None
    cancel: Cancellation | None = None
    progress: Callable[[Progress], None] | None = None
    partial_results: bool | None = None

    def typed_message(self) -> Message:
        """Return the message of the dedicated RPC. Raises InputError for values that cannot be sent."""
        assert self.typed
        known = {**self.parameters, **self.options, **self._images()}
        if self.typed is ARCHITECTURES:
            first = _build(
                analysis_pb2.ModelRef, {"name": known.pop("model"), "version": known.pop("version")}
            )
            others = [
                _model_ref(name, f"models[{index}]") for index, name in enumerate(known.pop("others"), 1)
            ]
            known["models"] = [first, *others]
        method = analysis_pb2.DESCRIPTOR.services_by_name["AnalysisService"].methods_by_name[self.typed.rpc]
        kind = GetMessageClass(method.input_type)
        return _build(lambda **fields: to_message(kind, fields), known)

    def message(self) -> analysis_pb2.AnalyzeRequest:
        """Return the request message of Analyze. Raises InputError for values that cannot be sent."""
        fields = {
            "analyzer": self.analyzer,
            "images": self.images.values(),
            "parameters": _build(
                _struct, {f"parameters.{name}": _json(value) for name, value in self.parameters.items()}
            ),
            "partial_results": self.partial_results,
            **self.options,
        }
        return _build(analysis_pb2.AnalyzeRequest, fields)

    @contextmanager
    def renamed_fields(self) -> Iterator[None]:
        """Rename the fields in errors from those of Analyze to the arguments of the method."""
        with rename_fields(self._field_of):
            yield

    def _field_of(self, field: str) -> str:
        if not self.typed:
            return field
        plain = self.typed.field_of(field.removeprefix("parameters."))
        return plain.replace("images[0]", "image", 1) if "image" in self.images else plain

    def _images(self) -> dict[str, Any]:
        if "image" in self.images:
            return {"image": self.images["image"]}
        return {"images": list(self.images.values())} if self.images else {}


def check_health(timeout_s: float | None = None) -> UnaryCall[str]:
    """Return the call that checks the health of the service."""

    def read(response: health_pb2.HealthCheckResponse) -> str:
        status: str = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
        return status

    return UnaryCall("Check", health_pb2.HealthCheckRequest(), read, timeout_s)


def list_models(options: CallOptions) -> UnaryCall[tuple[ModelSummary, ...]]:
    """Return the call that lists all models."""

    def read(response: model_pb2.ListModelsResponse) -> tuple[ModelSummary, ...]:
        return tuple(to_dataclass(ModelSummary, model) for model in response.models)

    return _unary("ListModels", model_pb2.ListModelsRequest, {}, read, options)


def describe_model(fields: Mapping[str, Any], options: CallOptions) -> UnaryCall[ModelInfo]:
    """Return the call that describes a model."""
    return _unary("GetModel", model_pb2.GetModelRequest, fields, partial(to_dataclass, ModelInfo), options)


def classify(photo: Photo, fields: Mapping[str, Any], options: CallOptions) -> UnaryCall[Classification]:
    """Return the call that classifies a photo. Raises InputError for an invalid photo."""
    known = {"image": image_to_wire(photo), **fields}
    read = partial(to_dataclass, Classification)
    return _unary("Classify", classification_pb2.ClassifyRequest, known, read, options)


def list_analyzers(fields: Mapping[str, Any], options: CallOptions) -> UnaryCall[tuple[AnalyzerInfo, ...]]:
    """Return the call that lists the analyzers."""

    def read(response: analysis_pb2.ListAnalyzersResponse) -> tuple[AnalyzerInfo, ...]:
        return tuple(to_dataclass(AnalyzerInfo, analyzer) for analyzer in response.analyzers)

    return _unary("ListAnalyzers", analysis_pb2.ListAnalyzersRequest, fields, read, options)


def get_indexed_photo(fields: Mapping[str, Any], options: CallOptions) -> UnaryCall[IndexedPhoto]:
    """Return the call that gets the file of a photo of an index."""
    read = partial(to_dataclass, IndexedPhoto)
    return _unary("GetIndexedPhoto", analysis_pb2.GetIndexedPhotoRequest, fields, read, options)


def _unary(
    rpc: str,
    request: Callable[..., Message],
    fields: Mapping[str, Any],
    read: Callable[[Any], A],
    options: CallOptions,
) -> UnaryCall[A]:
    """Build a call. Raises InputError for an unknown option or a value that cannot be sent."""
    check_options(options, CallOptions)
    return UnaryCall(rpc, _build(request, fields), read, **options)


def untyped_request(
    analyzer: str, photos: Sequence[Photo], parameters: Mapping[str, Any], options: Mapping[str, Any]
) -> AnalysisRequest[Analyzed]:
    """Return a request for any analyzer by name. Raises InputError for an invalid photo or option."""
    check_options(options, AnalysisOptions)
    return _request(
        analyzer, _images_by_field(photos), dict(parameters), options, lambda analyzed, _: analyzed
    )


def photo_request(
    typed: TypedAnalysis[A], photo: Photo, options: Mapping[str, Any], allowed: type
) -> AnalysisRequest[A]:
    """Return a request about one photo. allowed: TypedDict of the allowed options. Raises InputError."""
    return _typed(typed, {"image": image_to_wire(photo)}, options, allowed)


def photos_request(
    typed: TypedAnalysis[A],
    photos: Sequence[Photo],
    options: Mapping[str, Any],
    allowed: type,
    **arguments: Any,
) -> AnalysisRequest[A]:
    """Return a request about several photos. arguments: positional parameters. Raises InputError."""
    return _typed(typed, _images_by_field(photos), options, allowed, **arguments)


def index_request(typed: TypedAnalysis[A], options: Mapping[str, Any], allowed: type) -> AnalysisRequest[A]:
    """Return a request about the photos of an index. Raises InputError for an unknown option."""
    return _typed(typed, {}, options, allowed)


def models_request(
    typed: TypedAnalysis[A],
    models: Sequence[str],
    photos: Sequence[Photo],
    options: Mapping[str, Any],
    allowed: type,
) -> AnalysisRequest[A]:
    """Return a request about several models, each NAME or NAME:VERSION. Raises InputError."""
    if isinstance(models, str):
        raise InputError("models is a single model; pass a list of 2 or more", field="models")
    for name in ("model", "version"):
        if name in options:
            raise InputError(
                f"{name} is not allowed here; name the models in `models`, each NAME or NAME:VERSION",
                field=name,
            )
    if not 2 <= len(models) <= MAX_MODELS:
        raise InputError(f"number of models is {len(models)}; allowed: 2 to {MAX_MODELS}", field="models")
    first, *others = [_model_ref(name, f"models[{index}]") for index, name in enumerate(models)]
    asked = {**options, "model": first.name, "version": version_of(first)}
    titles = [reference_of(other) for other in others]
    return photos_request(typed, photos, asked, allowed, others=titles)


def parts_parameter(parts: Mapping[str, Sequence[Box]]) -> list[dict[str, Any]]:
    """Return the value of the analyzer's `parts` parameter."""
    return [{"name": name, "boxes": [vars(box) for box in boxes]} for name, boxes in parts.items()]


def _images_by_field(photos: Sequence[Photo]) -> dict[str, image_pb2.Image]:
    return {f"images[{index}]": image for index, image in enumerate(images_to_wire(photos))}


def _typed(
    typed: TypedAnalysis[A],
    images: Mapping[str, image_pb2.Image],
    options: Mapping[str, Any],
    allowed: type,
    **arguments: Any,
) -> AnalysisRequest[A]:
    check_options(options, allowed)
    parameters = {name: value for name, value in options.items() if name not in _CALL}
    if "masks" in parameters:
        parameters["masks"] = masks_to_wire(parameters["masks"])
    if "method_parameters" in parameters:
        parameters["method_parameters"] = _json(parameters["method_parameters"])
    if parameters.get("attribution") is not None:
        parameters["attribution"] = attribution_to_wire(parameters["attribution"])
    if "polygons" in parameters:
        parameters["polygons"] = polygons_to_wire(parameters["polygons"])
    call_options = {name: options[name] for name in _CALL if name in options}
    return _request(typed.analyzer, images, {**parameters, **arguments}, call_options, typed.assemble, typed)


def _request(
    analyzer: str,
    images: Mapping[str, image_pb2.Image],
    parameters: Mapping[str, Any],
    options: Mapping[str, Any],
    read: Callable[[Analyzed, Sequence[Size]], A],
    typed: TypedAnalysis[A] | None = None,
) -> AnalysisRequest[A]:
    call_options = {name: options.get(name) for name in _CONTROL}
    message_options = {name: options[name] for name in _COMMON if name in options}
    return AnalysisRequest(analyzer, images, parameters, message_options, read, typed, **call_options)


def check_options(options: Mapping[str, Any], allowed: type) -> None:
    """Raise InputError for an unknown option, suggesting the closest name."""
    names = get_type_hints(allowed)
    for name in options:
        if name not in names:
            raise InputError(f"{name} {unknown_name(name, tuple(names))}", field=name)


def _build(build: Callable[..., M], fields: Mapping[str, Any]) -> M:
    """Build a message. Raises InputError, naming the field whose value protobuf rejects."""
    try:
        return build(**fields)
    except (TypeError, ValueError) as error:
        field = next((name for name, value in fields.items() if not _accepts(build, name, value)), "")
        raise InputError(f"{field}: invalid value: {error}".removeprefix(": "), field=field) from error


def _accepts(build: Callable[..., Message], name: str, value: Any) -> bool:
    try:
        build(**{name: value})
    except (TypeError, ValueError):
        return False
    return True


def _struct(**values: Any) -> struct_pb2.Struct:
    """Return parameters as a structure; names begin with `parameters.`, like the fields in errors."""
    struct = struct_pb2.Struct()
    struct.update({name.removeprefix("parameters."): value for name, value in values.items()})
    return struct


def _model_ref(title: str, field: str) -> analysis_pb2.ModelRef:
    name, _, version = title.partition(":")
    if version and not version.isdecimal():
        raise InputError(f"{field} is '{title}'; allowed: NAME and NAME:VERSION", field=field)

    def build(**fields: str) -> analysis_pb2.ModelRef:
        return analysis_pb2.ModelRef(name=name, version=int(fields[field]) if version else None)

    return _build(build, {field: version})


def _json(value: Any) -> Any:
    """Convert parameters to JSON values: units and boxes to objects, files to base64."""
    if is_dataclass(value):
        return {name: item for name, item in vars(value).items() if item is not None}
    if isinstance(value, Mapping):
        return {name: _json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
