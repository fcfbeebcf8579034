"""A model through the Open Inference Protocol: images in, class scores or what layers gave out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.classification import softmax
from zfscope.errors import InputError, NotFound, TooMuchWork
from zfscope.images.tensors import TensorScale, read_tensor
from zfscope.inference import inference_pb2 as pb
from zfscope.networks.layers import Shape
from zfscope.networks.spec import shapes
from zfscope.results import Notice, merge_notices
from zfscope.runtimes import Loaded
from zfscope.server.backend import Backend
from zfscope.server.deadline import Cancel
from zfscope.server.oip.inputs import INPUT, Sent, images_to_wire, numbers_of, sent_images
from zfscope.server.oip.outputs import Wanted, answer_to_wire, bytes_array, wanted_outputs
from zfscope.server.oip.parameters import Target, check_no_parameters, scale_of
from zfscope.store import Manifest, Model
from zfscope.wire.images import pixels_from_wire

Floats = NDArray[np.float32]

LOGITS, PROBABILITIES = "logits", "probabilities"
SCORES = (LOGITS, PROBABILITIES)


def outputs_of(manifest: Manifest) -> dict[str, Shape]:
    """Return the shapes of all outputs of a model, without the batch: what comes unasked first."""
    known = shapes(manifest.network)
    layers = {layer.name: known[layer.name] for layer in manifest.network.layers}
    if not manifest.labels:
        last = manifest.network.scores
        return {last: layers[last], **layers}
    classes = (len(manifest.labels),)
    return {LOGITS: classes, PROBABILITIES: classes, **layers}


@dataclass(frozen=True, eq=False)
class Asked:
    """A request that can be answered. pixels: what the network reads, (N, 3, H, W)."""

    loaded: Loaded
    pixels: Floats
    wanted: Sequence[Wanted]
    warnings: tuple[Notice, ...]

    @property
    def layers(self) -> list[str]:
        """The layers whose outputs are wanted."""
        return [output.name for output in self.wanted if output.name not in SCORES]

    @property
    def scores(self) -> bool:
        """Whether class scores are wanted."""
        return len(self.layers) < len(self.wanted)


async def infer(
    backend: Backend, request: pb.ModelInferRequest, target: Target, cancel: Cancel
) -> pb.ModelInferResponse:
    """Answer a ModelInfer of a model: scores and layers come of passes that are shared with others."""
    asked = await backend.readers.run(partial(read, backend, request, target, cancel))
    scores = await backend.batcher.forward(asked.loaded, asked.pixels) if asked.scores else None
    layers = await backend.batcher.outputs(asked.loaded, asked.pixels, asked.layers)
    answer = partial(response_of, request, asked, {**_scores(scores), **layers})
    return await backend.readers.run(answer) if layers else answer()


def read(backend: Backend, request: pb.ModelInferRequest, target: Target, cancel: Cancel) -> Asked:
    """Check a request, and prepare its images. Blocks; what can be refused is refused before any pass."""
    check_no_parameters(request)
    loaded = backend.models.loaded(target.model, target.version)
    known, model = outputs_of(loaded.model.manifest), loaded.model
    wanted = wanted_outputs(request, [next(iter(known))])
    for output in wanted:
        _check_wanted(output, known)
    sent = sent_images(request)
    if sent is None:
        raise InputError("no images; give the input 'input' or 'images'", field="inputs")
    _check_images(sent, model, backend.settings.max_images)
    _check_answer(sent.images, [known[output.name] for output in wanted], backend.settings.max_send_bytes)
    pixels, warnings = _pixels(backend, sent, model, cancel, scale_of(request, sent))
    return Asked(loaded, pixels, wanted, warnings)


def response_of(
    request: pb.ModelInferRequest, asked: Asked, given: Mapping[str, Floats]
) -> pb.ModelInferResponse:
    """Write what was asked for, out of what was computed."""
    model = asked.loaded.model
    outputs = {output.name: _as_wanted(given[output.name], output, model) for output in asked.wanted}
    return answer_to_wire(
        request, model=model.name, version=model.version, outputs=outputs, warnings=asked.warnings
    )


def _check_wanted(output: Wanted, known: Mapping[str, Shape]) -> None:
    if output.name not in known:
        names = ", ".join(known)
        raise NotFound(f"no output '{output.name:.80}'; this model has {names}", field=f"{output.field}.name")
    if output.classes and output.name not in SCORES:
        told = f"'{output.name}' has no classes; ask for those of {LOGITS} or {PROBABILITIES}"
        raise InputError(told, field=f"{output.field}.parameters")


def _check_images(sent: Sent, model: Model, most: int) -> None:
    spec = model.spec
    wanted = (spec.input_channels, spec.input_size, spec.input_size)
    if sent.name == INPUT and sent.shape[1:] != wanted:
        told = f"{list(sent.shape)} is not the shape of '{INPUT}'; [images, {', '.join(map(str, wanted))}] is"
        raise InputError(told, field="inputs[0].shape")
    if sent.images > most:
        raise TooMuchWork(f"{sent.images} images; one request may send {most}", field="inputs[0].shape")


def _check_answer(images: int, wanted: Sequence[Shape], most: int) -> None:
    size = 4 * images * sum(math.prod(shape) for shape in wanted)
    if size > most:
        told = f"the outputs would take {size:,} bytes; an answer may have {most:,}"
        raise TooMuchWork(f"{told}: ask for fewer, or send fewer images", field="outputs")


def _pixels(
    backend: Backend, sent: Sent, model: Model, cancel: Cancel, scale: TensorScale
) -> tuple[Floats, tuple[Notice, ...]]:
    """Return what the network reads, (N, 3, H, W), and what was assumed; of a photo nothing else is kept."""
    pixels, warnings = [], list(model.warnings)
    if sent.name == INPUT:
        mean = model.mean_image
        for place, numbers in enumerate(numbers_of(sent)):
            cancel.check()
            read = read_tensor(
                numbers, model.preprocessing, mean_image=mean, scale=scale, field=f"{INPUT}[{place}]"
            )
            pixels.append(read.pixels[None])
            warnings += read.warnings
    else:
        for field, image in images_to_wire(sent).items():
            cancel.check()
            photo = pixels_from_wire(image, model, limits=backend.image_limits, field=field)
            pixels.append(photo.pixels)
            warnings += photo.warnings
    return pixels[0] if len(pixels) == 1 else np.concatenate(pixels), merge_notices(warnings)


def _scores(logits: Floats | None) -> dict[str, Floats]:
    if logits is None:
        return {}
    return {LOGITS: logits, PROBABILITIES: softmax(logits).astype(np.float32)}


def _as_wanted(given: Floats, output: Wanted, model: Model) -> NDArray[Any]:
    """Return scores as they are, or the likeliest classes as `SCORE:INDEX:LABEL`, (N, classes)."""
    if not output.classes:
        return given
    likeliest = np.argsort(-given, axis=1, kind="stable")[:, : output.classes]
    texts = [
        f"{row[index]:f}:{index}:{model.labels[index].name}".encode()
        for row, places in zip(given, likeliest, strict=True)
        for index in places
    ]
    return bytes_array(texts).reshape(likeliest.shape)
