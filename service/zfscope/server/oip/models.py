"""Models in the Open Inference Protocol: images in, class scores or layer outputs out."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.classification import softmax
from zfscope.errors import InputError, NotFound, TooMuchWork
from zfscope.images.tensors import TensorScale, read_tensor
from zfscope.inference import inference_pb2 as pb
from zfscope.networks.layer import Shape
from zfscope.networks.lookup import complete_name, list_layers
from zfscope.networks.spec import shapes
from zfscope.results import Notice, merge_notices
from zfscope.runtimes import LoadedModel
from zfscope.server.backend import Backend
from zfscope.server.batching import Batcher
from zfscope.server.deadline import CallCancellation
from zfscope.server.oip.inputs import INPUT, ImageInput, inputs_to_wire, numbers_of, parse_images
from zfscope.server.oip.outputs import RequestedOutput, bytes_array, requested_outputs, response_to_wire
from zfscope.server.oip.parameters import InferTarget, check_no_parameters, scale_of
from zfscope.server.telemetry.statistics import CallTimes
from zfscope.store import Manifest, Model
from zfscope.validation import nearest_name
from zfscope.wire.images import pixels_from_wire

Floats = NDArray[np.float32]

LOGITS, PROBABILITIES = "logits", "probabilities"
SCORES = (LOGITS, PROBABILITIES)


def outputs_of(manifest: Manifest) -> dict[str, Shape]:
    """Return the shapes of all outputs of a model, without the batch axis; the default output first."""
    known = shapes(manifest.network)
    layers = {layer.name: known[layer.name] for layer in manifest.network.layers}
    if not manifest.labels:
        last = manifest.network.scores
        return {last: layers[last], **layers}
    classes = (len(manifest.labels),)
    return {LOGITS: classes, PROBABILITIES: classes, **layers}


@dataclass(frozen=True, eq=False)
class InferRequest:
    """A valid request. pixels: the network's input, (N, C, H, W)."""

    loaded: LoadedModel
    pixels: Floats
    requested: Sequence[RequestedOutput]
    warnings: tuple[Notice, ...]

    @property
    def layers(self) -> list[str]:
        """Layers whose outputs are requested."""
        return [output.name for output in self.requested if output.name not in SCORES]

    @property
    def scores(self) -> bool:
        """Whether class scores are requested."""
        return len(self.layers) < len(self.requested)


async def infer(
    backend: Backend,
    request: pb.ModelInferRequest,
    target: InferTarget,
    cancel: CallCancellation,
    times: CallTimes,
) -> pb.ModelInferResponse:
    """Handle a ModelInfer call for a model; its forward passes are batched with those of other requests."""
    work = partial(read, backend, request, target, cancel)
    parsed = await times.run(backend.readers.run, "input", work)
    arrays = await times.run_passes(partial(_run_passes, backend.batcher, parsed))
    respond = partial(response_of, request, parsed, arrays)
    if parsed.layers:
        return await times.run(backend.readers.run, "output", respond)
    with times.measure("output"):
        return respond()


async def _run_passes(
    batcher: Batcher, parsed: InferRequest, observe_wait: Callable[[float], object]
) -> Mapping[str, Floats]:
    """Return the requested scores and layers by name."""
    loaded, pixels = parsed.loaded, parsed.pixels
    scores = await batcher.forward(loaded, pixels, observe_wait=observe_wait) if parsed.scores else None
    layers = await batcher.outputs(loaded, pixels, parsed.layers, observe_wait=observe_wait)
    return {**_scores(scores), **layers}


def read(
    backend: Backend, request: pb.ModelInferRequest, target: InferTarget, cancel: CallCancellation
) -> InferRequest:
    """Validate a request completely and prepare its images, before any pass is run. Blocks."""
    check_no_parameters(request)
    loaded = backend.models.get(target.model, target.version)
    known, model = outputs_of(loaded.model.manifest), loaded.model
    requested = _requested(request, known, model)
    sent = parse_images(request)
    if sent is None:
        raise InputError("no images; send the input 'input' or 'images'", field="inputs")
    _check_images(sent, model, backend.settings.max_images)
    _check_response_size(
        sent.images, [known[output.name] for output in requested], backend.settings.max_send_bytes
    )
    pixels, warnings = _pixels(backend, sent, model, cancel, scale_of(request, sent))
    return InferRequest(loaded, pixels, requested, warnings)


def response_of(
    request: pb.ModelInferRequest, parsed: InferRequest, arrays: Mapping[str, Floats]
) -> pb.ModelInferResponse:
    """Return the response with the requested outputs."""
    model = parsed.loaded.model
    outputs = {output.name: _format_output(arrays[output.name], output, model) for output in parsed.requested}
    return response_to_wire(
        request, model=model.name, version=model.version, outputs=outputs, warnings=parsed.warnings
    )


def _requested(
    request: pb.ModelInferRequest, known: Mapping[str, Shape], model: Model
) -> Sequence[RequestedOutput]:
    """Return the requested outputs with their full names, by default the first output of the model."""
    requested: dict[str, RequestedOutput] = {}
    for output in requested_outputs(request, [next(iter(known))]):
        name = _full_name(output, known, model)
        if name in requested:
            raise InputError(f"'{name}' is requested twice", field=f"{output.field}.name")
        requested[name] = replace(output, name=name)
        _check_classes(requested[name])
    return tuple(requested.values())


def _full_name(output: RequestedOutput, known: Mapping[str, Shape], model: Model) -> str:
    """Return the name of an output; layers may be requested by a unique suffix."""
    field, names = f"{output.field}.name", tuple(known)
    name = complete_name(names, output.name, field=field)
    if name is None:
        scores = [name for name in SCORES if name in known and name not in model.spec.by_name]
        available = ", ".join([*scores, list_layers(model.spec)])
        message = f"output '{output.name:.80}' not found; available: {available}"
        raise NotFound(f"{message}{nearest_name(output.name, names)}", field=field)
    return name


def _check_classes(output: RequestedOutput) -> None:
    if output.classes and output.name not in SCORES:
        message = f"'{output.name}' has no classes; request those of {LOGITS} or {PROBABILITIES}"
        raise InputError(message, field=f"{output.field}.parameters")


def _check_images(sent: ImageInput, model: Model, limit: int) -> None:
    spec = model.spec
    expected = (spec.input_channels, spec.input_size, spec.input_size)
    if sent.name == INPUT and sent.shape[1:] != expected:
        message = (
            f"shape {list(sent.shape)} of '{INPUT}' is invalid; "
            f"expected [images, {', '.join(map(str, expected))}]"
        )
        raise InputError(message, field="inputs[0].shape")
    if sent.images > limit:
        raise TooMuchWork(
            f"{sent.images} images; allowed: at most {limit} per request", field="inputs[0].shape"
        )


def _check_response_size(images: int, requested: Sequence[Shape], limit: int) -> None:
    size = 4 * images * sum(math.prod(shape) for shape in requested)
    if size > limit:
        message = f"the outputs take {size:,} bytes; the limit of a response is {limit:,}"
        raise TooMuchWork(f"{message}; request fewer outputs or send fewer images", field="outputs")


def _pixels(
    backend: Backend, sent: ImageInput, model: Model, cancel: CallCancellation, scale: TensorScale
) -> tuple[Floats, tuple[Notice, ...]]:
    """Return the network's input, (N, C, H, W), and warnings; decoded photos are not kept."""
    pixels, warnings = [], list(model.warnings)
    if sent.name == INPUT:
        mean = model.mean_image
        for index, numbers in enumerate(numbers_of(sent)):
            cancel.check()
            read = read_tensor(
                numbers, model.preprocessing, mean_image=mean, scale=scale, field=f"{INPUT}[{index}]"
            )
            pixels.append(read.pixels[None])
            warnings += read.warnings
    else:
        for field, image in inputs_to_wire(sent).items():
            cancel.check()
            photo = pixels_from_wire(image, model, limits=backend.image_limits, field=field)
            pixels.append(photo.pixels)
            warnings += photo.warnings
    return pixels[0] if len(pixels) == 1 else np.concatenate(pixels), merge_notices(warnings)


def _scores(logits: Floats | None) -> dict[str, Floats]:
    if logits is None:
        return {}
    return {LOGITS: logits, PROBABILITIES: softmax(logits).astype(np.float32)}


def _format_output(values: Floats, output: RequestedOutput, model: Model) -> NDArray[Any]:
    """Return values unchanged, or the most likely classes as `SCORE:INDEX:LABEL`, (N, classes)."""
    if not output.classes:
        return values
    most_likely = np.argsort(-values, axis=1, kind="stable")[:, : output.classes]
    texts = [
        f"{row[index]:f}:{index}:{model.labels[index].name}".encode()
        for row, indices in zip(values, most_likely, strict=True)
        for index in indices
    ]
    return bytes_array(texts).reshape(most_likely.shape)
