"""Decoded photos, network inputs, traces and control networks that the analyses of a process share."""

import hashlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import randomise, trace_pixels
from zfscope.images.decode import DecodedPhoto, decode_photo
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import Crops, Prepared, prepare_photo
from zfscope.shared_values import Kind, Lookup, SharedValues
from zfscope.store import Model

if TYPE_CHECKING:
    from zfscope.engine.trace import Trace
    from zfscope.networks import Network

DEFAULT_BYTES = 256 << 20


class _PhotoKey(NamedTuple):
    """SHA-256 of a file, and the limits that it was decoded within."""

    file: bytes
    limits: DecodeLimits


class _ModelKey(NamedTuple):
    name: str
    version: int
    weights: str


class _InputKey(NamedTuple):
    model: _ModelKey
    preprocessing: Hashable
    crops: Crops
    photo: _PhotoKey


class _TraceKey(NamedTuple):
    """A model, and the shape and SHA-256 of the network's input."""

    model: _ModelKey
    shape: tuple[int, ...]
    pixels: bytes


class _ControlKey(NamedTuple):
    """A model, and the arguments of `control_network`."""

    model: _ModelKey
    layer: str
    down_to: str


def _array_buffers(*arrays: NDArray[np.generic]) -> Mapping[int, int]:
    return {array.ctypes.data: array.nbytes for array in arrays}


def _trace_buffers(traced: "Trace") -> Mapping[int, int]:
    """Return the storage of all tensors; layers that return their input have no storage of their own."""
    storages = (each.untyped_storage() for each in (*traced.outputs.values(), *traced.switches.values()))
    return {storage.data_ptr(): storage.nbytes() for storage in storages}


def _network_buffers(network: "Network") -> Mapping[int, int]:
    storages = (each.untyped_storage() for each in network.parameters())
    return {storage.data_ptr(): storage.nbytes() for storage in storages}


_PHOTOS = Kind[DecodedPhoto]("photo", lambda photo: _array_buffers(photo.pixels))
_INPUTS = Kind[Prepared]("input", lambda each: _array_buffers(each.photo, each.views, each.pixels))
_TRACES = Kind["Trace"]("trace", _trace_buffers)
_CONTROLS = Kind["Network"]("control", _network_buffers)
# Names of the kinds of shared values, for statistics.
KINDS = (_PHOTOS.name, _INPUTS.name, _TRACES.name, _CONTROLS.name)


@dataclass(frozen=True, eq=False)
class TraceCache:
    """Decoded photos, network inputs, traces and control networks of recent requests; thread-safe.

    A file is identified by its SHA-256, so a second request for the same photo decodes and prepares nothing.
    A trace is identified by the SHA-256 of the network's input: two files with the same pixels share it, and
    an image that was changed never gets the trace of another. Nothing is written to disk.
    """

    values: SharedValues

    @property
    def size_bytes(self) -> int:
        """Memory of the photos, inputs and traces."""
        return self.values.size_bytes

    def prepare(
        self,
        data: bytes,
        model: Model,
        *,
        limits: DecodeLimits,
        crops: Crops = "centre",
        field: str = "image",
    ) -> Prepared:
        """Decode an image file and prepare it for a model, like `decode_photo` and `prepare_photo`.

        The photo is read-only; the crops and the network's input belong to the caller.
        """
        photo_key = _PhotoKey(hashlib.sha256(data).digest(), limits)
        key = _InputKey(_key(model), model.preprocessing, crops, photo_key)

        def decode(_: DecodedPhoto | None) -> DecodedPhoto:
            photo = decode_photo(data, limits=limits, field=field)
            photo.pixels.flags.writeable = False
            return photo

        def prepare(_: Prepared | None) -> Prepared:
            photo = self.values.get(_PHOTOS, photo_key, decode)
            return prepare_photo(
                photo, model.preprocessing, crops=crops, mean_image=model.mean_image, field=field
            )

        shared = self.values.get(_INPUTS, key, prepare)
        return replace(
            shared,
            views=shared.views.copy(),
            pixels=shared.pixels.copy(),
            warnings=tuple(replace(notice, field=field) for notice in shared.warnings),
        )

    def trace(self, model: Model, pixels: NDArray[np.float32], until: str | None = None) -> "Trace":
        """Return the trace of network inputs (N, C, H, W) up to a layer, or further if a call needed more.

        A trace that ends earlier is extended. Raises like `zfscope.engine.trace.trace`.
        """
        from zfscope.engine.trace import extend, last_layer  # imports torch

        last = last_layer(model.spec, until)
        key = _TraceKey(_key(model), pixels.shape, hashlib.sha256(np.ascontiguousarray(pixels).data).digest())

        def compute(part: "Trace | None") -> "Trace":
            # Copied: a network may read the caller's array in place.
            return (
                extend(model.network, part, until=last) if part else trace_pixels(model, pixels.copy(), last)
            )

        return self.values.get(_TRACES, key, compute, is_enough=lambda traced: last in traced.outputs)

    def randomise(self, model: Model, layer: str, down_to: str = "") -> "Network":
        """Return the control network of a model; see `zfscope.analysis.control.control_network`."""
        key = _ControlKey(_key(model), layer, down_to)
        return self.values.get(_CONTROLS, key, lambda _: randomise(model, layer, down_to))

    def clear(self) -> None:
        """Drop everything."""
        self.values.drop()

    def drop_model(self, model: Model) -> None:
        """Drop the inputs, traces and control networks of a model that was unloaded."""
        own, owned = _key(model), (_InputKey, _TraceKey, _ControlKey)
        self.values.drop(lambda key: isinstance(key, owned) and key.model == own)


def trace_cache(
    max_bytes: int = DEFAULT_BYTES, *, observe: Callable[[str, Lookup], object] = lambda *_: None
) -> TraceCache:
    """Return a cache of at most `max_bytes`, 0 for none; see `SharedValues`."""
    return TraceCache(SharedValues(max_bytes, observe=observe))


def _key(model: Model) -> _ModelKey:
    return _ModelKey(model.name, model.version, model.weights_sha256)
