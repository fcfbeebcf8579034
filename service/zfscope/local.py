"""Client that runs analyses in this process, without a service."""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, TypeVar

from zfscope.analysis.call import AnalysisCall, Partial, Prepare, Report, analyze
from zfscope.analysis.classification import DEFAULT_TOP, check_classifies, check_top, classification
from zfscope.analysis.description import list_analyzers, model_info, model_summary
from zfscope.analysis.progress import PartialResults, ProgressMeter
from zfscope.analysis.registry import Registry, load_analyzers
from zfscope.analysis.trace_cache import DEFAULT_BYTES, trace_cache
from zfscope.answers import AnalyzerInfo, Classification, IndexedPhoto, ModelInfo, ModelSummary, Progress
from zfscope.cancellation import Cancellation
from zfscope.client.calls import AnalysisRequest, UnaryCall, validate_timeout_s
from zfscope.client.methods import ClientMethods
from zfscope.errors import InputError, NotFound, TooLate
from zfscope.images.limits import environment_limits
from zfscope.runtimes import LoadedModel, TorchServe, create_runtime, load_model
from zfscope.store import Model, ModelStore, open_store
from zfscope.v1 import analysis_pb2, classification_pb2, image_pb2, model_pb2
from zfscope.wire.images import image_from_wire, pixels_from_wire
from zfscope.wire.models import version_of

A = TypeVar("A")
# Maximum number of models kept in memory; the least recently used is released first.
_MAX_LOADED_MODELS = 3


class LocalClient(ClientMethods):
    """Client that runs models of a store in this process; safe to share between threads.

        from zfscope import LocalClient

        client = LocalClient()
        client.project("china.jpg", layer="conv5").sheet.save("conv5.png")

    Models are loaded on first use; the three most recently used stay in memory.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | ModelStore | None = None,
        *,
        runtime: str = "onnx",
        device: str = "cpu",
        precision: str = "float32",
        torchserve: str = "",
        indexes: str | os.PathLike[str] | None = None,
        trace_cache_bytes: int = DEFAULT_BYTES,
    ) -> None:
        """Open a model store without loading a model.

        store: a `ModelStore` or its folder; default: $ZFSCOPE_STORE, else ./model_store, else that of the
        checkout. runtime: runtime of forward passes: `onnx`, `torch` or `torchserve`. device: `cpu` or
        `cuda`. precision: `float32`; with runtime `torch` and a device that multiplies it in hardware
        `bfloat16`; or with device `cuda` `tf32`, for all that this process computes on the GPU.
        torchserve: HOST:PORT of TorchServe, for that runtime. indexes: see `ModelStore`.
        trace_cache_bytes: memory for photos and traces of recent calls, so that another analysis of a photo
        does not decode and trace it again; 0 to keep none. Raises NotFound if the store does not exist.
        """
        self.store = store if isinstance(store, ModelStore) else open_store(store, indexes=indexes)
        self.image_limits = environment_limits()
        self.max_passes: int | None = None
        self.trace_cache = trace_cache(trace_cache_bytes)
        self._device, self.precision = device, precision
        self._create = partial(
            create_runtime,
            runtime,
            device=device,
            precision=precision,
            torchserve=TorchServe(torchserve) if torchserve else None,
        )
        self._kept: OrderedDict[tuple[str, int], LoadedModel] = OrderedDict()
        self._lock = threading.Lock()

    @cached_property
    def registry(self) -> Registry:
        """The installed analyzers."""
        return load_analyzers()

    def close(self) -> None:
        """Release the models, photos and traces in memory."""
        with self._lock:
            self._kept.clear()
        self.trace_cache.clear()

    def wait_until_ready(self, timeout_s: float = 30) -> None:
        """Return immediately: models are loaded on first use."""

    def load_model(self, name: str, version: int | None) -> LoadedModel:
        """Return a model and its runtime, loading them on first use. Raises NotFound or DamagedModel."""
        manifest = self.store.manifest(name, version)
        key = manifest.name, manifest.version
        with self._lock:  # held while loading: two threads requesting the same model load it once
            if key not in self._kept:
                self._kept[key] = load_model(self.store, *key, self._create, device=self._device)
            self._kept.move_to_end(key)
            while len(self._kept) > _MAX_LOADED_MODELS:
                _, released = self._kept.popitem(last=False)
                self.trace_cache.drop_model(released.model)
            return self._kept[key]

    def _unary(self, make: Callable[[], UnaryCall[A]]) -> A:
        call = make()
        check_cancelled = _cancellation_check(call.cancel, call.timeout_s)
        check_cancelled()
        result: A = _HANDLERS[call.rpc](self, call.request, check_cancelled)
        return result

    def _run(self, make: Callable[[], AnalysisRequest[A]]) -> A:
        request = make()
        check_cancelled = _cancellation_check(request.cancel, request.timeout_s)
        call = AnalysisCall(
            request.analyzer,
            {field: self._prepare(image, field) for field, image in request.images.items()},
            request.parameters,
            **{name: value for name, value in request.options.items() if value is not None},
        )
        with request.renamed_fields():
            outcome = analyze(self, call, check_cancelled=check_cancelled, report=_reporter(request, call))
        return request.read(outcome.analyzed, outcome.sizes)

    def _prepare(self, image: image_pb2.Image, field: str) -> Prepare:
        return lambda _, model: image_from_wire(
            image, model, limits=self.image_limits, field=field, prepare=self.trace_cache.prepare
        )

    def default(self) -> tuple[str, int] | None:
        """Return the name and version of the store's default model, or None."""
        try:
            folder = self.store.folder("")
        except (NotFound, InputError):
            return None
        return folder.parent.name, int(folder.name)


def _health(client: LocalClient, request: Any, check_cancelled: Callable[[], None]) -> str:
    return "SERVING"  # this process is its own service


def _models(
    client: LocalClient, request: Any, check_cancelled: Callable[[], None]
) -> tuple[ModelSummary, ...]:
    default = client.default()
    listed = sorted(client.store.listing(), key=lambda entry: (entry.name, -entry.version))
    return tuple(model_summary(entry, default) for entry in listed)


def _model(
    client: LocalClient, request: model_pb2.GetModelRequest, check_cancelled: Callable[[], None]
) -> ModelInfo:
    manifest = client.store.manifest(request.model, version_of(request))
    return model_info(manifest, client.default(), client.precision)


def _classify(
    client: LocalClient, request: classification_pb2.ClassifyRequest, check_cancelled: Callable[[], None]
) -> Classification:
    top = request.top if request.HasField("top") else DEFAULT_TOP
    check_top(top)
    loaded = client.load_model(request.model, version_of(request))
    check_classifies(loaded.model)
    image = pixels_from_wire(
        request.image,
        loaded.model,
        limits=client.image_limits,
        crops="ten" if request.ten_crop else "centre",
    )
    check_cancelled()
    logits = loaded.runtime.forward(image.pixels)
    check_cancelled()
    return classification(
        loaded.model,
        logits,
        top,
        photo_size=image.size,
        warnings=image.warnings,
        precision=loaded.runtime.precision,
    )


def _analyzers(
    client: LocalClient, request: analysis_pb2.ListAnalyzersRequest, check_cancelled: Callable[[], None]
) -> tuple[AnalyzerInfo, ...]:
    loaded = client.load_model(request.model, version_of(request))
    return list_analyzers(client.registry, loaded.model)


def _indexed_photo(
    client: LocalClient, request: analysis_pb2.GetIndexedPhotoRequest, check_cancelled: Callable[[], None]
) -> IndexedPhoto:
    from zfscope.analysis.indexed_photo import indexed_photo  # imported late: it needs torch and pyarrow

    model = client.store.find(request.model, version_of(request))
    return indexed_photo(model, request.index, request.blake2b, client.image_limits)


# Handler of each unary call, by the name of its RPC.
_HANDLERS: Mapping[str, Callable[[LocalClient, Any, Callable[[], None]], Any]] = {
    "Check": _health,
    "ListModels": _models,
    "GetModel": _model,
    "Classify": _classify,
    "ListAnalyzers": _analyzers,
    "GetIndexedPhoto": _indexed_photo,
}


def _reporter(request: AnalysisRequest[Any], call: AnalysisCall) -> Report:
    """Return the function that passes progress on to the caller, with partial results if requested."""
    meter = ProgressMeter()
    partials = PartialResults(wanted=bool(request.partial_results), pictures=call.pictures)

    def report(_: Model, fraction: float, partial_result: Partial | None) -> None:
        if request.progress:
            computed = partials.compute(partial_result) if partial_result and partials.due else None
            request.progress(Progress(*meter.read(fraction), computed))

    return report


def _cancellation_check(cancel: Cancellation | None, timeout_s: float | None) -> Callable[[], None]:
    """Return a function that raises Cancelled once the call is cancelled and TooLate after its time limit."""
    deadline = time.monotonic() + validate_timeout_s(timeout_s)

    def check() -> None:
        if cancel:
            cancel.check()
        if time.monotonic() > deadline:
            raise TooLate(f"the call took longer than its time limit of {timeout_s:g} s")

    return check
