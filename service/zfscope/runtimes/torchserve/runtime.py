"""The forward pass by TorchServe, asked over gRPC: its handler runs the same network on the same weights."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import grpc
import numpy as np
from numpy.typing import NDArray

from zfscope.errors import RuntimeUnavailable
from zfscope.networks.spec import shapes
from zfscope.runtimes.protocol import MapMaxima, check_call, from_arrays, kinds
from zfscope.runtimes.torchserve import TorchServe
from zfscope.runtimes.torchserve.message import (
    ERROR,
    IMAGES,
    LAYERS,
    REDUCE,
    SUMS,
    VALUES,
    WEIGHTS,
    Array,
    Message,
    pack,
    unpack,
)
from zfscope.runtimes.torchserve.predictions_pb2 import PredictionResponse, PredictionsRequest
from zfscope.store.store import Model

METHOD = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),  # what we asked for: maps of early layers are large
    ("grpc.enable_http_proxy", 0),
    # A TorchServe that comes back is found within a second, not after minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]

_NOT_THERE = ("Model not found", "Model version")


class TorchServeRuntime:
    """Runs a model that is registered with TorchServe under its own name and version.

    Every call raises RuntimeUnavailable where TorchServe is not there, does not have the model with these
    weights, fails, or takes too long.
    """

    name = title = "torchserve"

    def __init__(self, model: Model, torchserve: TorchServe) -> None:
        """Connect; nothing is asked yet."""
        self._title, self._spec = model.manifest.title, model.spec
        self._shapes = shapes(self._spec)
        self._model = {"model_name": model.name, "model_version": str(model.version)}
        self._weights = model.weights_sha256.encode()
        self._torchserve = torchserve
        self._channel = grpc.insecure_channel(torchserve.address, options=_OPTIONS)
        self._predictions = self._channel.unary_unary(
            METHOD,
            request_serializer=PredictionsRequest.SerializeToString,
            response_deserializer=PredictionResponse.FromString,
        )

    def forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the class scores of images; see `Runtime`."""
        last = self._spec.scores
        return self.outputs(images, [last])[last]

    def outputs(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the outputs of layers; see `Runtime`."""
        names = check_call(images, self._spec, layers)
        wanted = {name: (len(images), *self._shapes[name]) for name in names}
        return self._arrays(images, names, wanted) if names else {}

    def map_maxima(
        self, images: NDArray[np.float32], layers: Sequence[str], *, sums: bool = False
    ) -> Mapping[str, MapMaxima]:
        """Return the maxima of maps, which the handler finds; see `Runtime`.

        TorchServe may put images of two calls into one pass: the last bits of what they give can differ from
        one scan to the next.
        """
        names = check_call(images, self._spec, layers)
        shape = {name: (len(images), self._shapes[name][0]) for name in names}
        wanted = {f"{name}/{kind}": shape[name] for name in names for kind in kinds(sums=sums)}
        parts = {REDUCE: (SUMS if sums else VALUES).encode()}
        arrays = self._arrays(images, names, wanted, parts) if names else {}
        return {name: from_arrays(name, arrays) for name in names}

    def check(self) -> None:
        """Raise RuntimeUnavailable unless the handler answers and has these weights."""
        self._ask({})

    @property
    def _who(self) -> str:
        return f"TorchServe at {self._torchserve.address}"

    def _arrays(
        self,
        images: NDArray[np.float32],
        layers: Sequence[str],
        wanted: Mapping[str, tuple[int, ...]],
        parts: Mapping[str, bytes] = MappingProxyType({}),
    ) -> Mapping[str, Array]:
        """Ask for layers of images. wanted: the arrays that must come, and their shapes."""
        asked = {IMAGES: pack(Message({IMAGES: images})), LAYERS: ",".join(layers).encode()}
        answer = self._ask({**asked, **parts})
        found = {name: array.shape for name, array in answer.arrays.items()}
        if found != wanted:
            raise RuntimeUnavailable(f"{self._who} gave arrays of shapes {found} for {wanted}")
        return answer.arrays

    def _ask(self, parts: Mapping[str, bytes]) -> Message:
        request = PredictionsRequest(**self._model, input={WEIGHTS: self._weights, **parts})
        try:
            answer = self._predictions(request, timeout=self._torchserve.timeout_s)
        except grpc.RpcError as error:
            raise RuntimeUnavailable(self._reason(error)) from error
        try:
            message = unpack(answer.prediction)
        except ValueError as error:
            raise RuntimeUnavailable(f"{self._who} gave {error}; is its archive of zfscope?") from error
        if ERROR in message.words:
            raise RuntimeUnavailable(f"{self._who}: {message.words[ERROR]}")
        return message

    def _reason(self, error: grpc.RpcError) -> str:
        assert isinstance(error, grpc.Call)
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE:
            return f"{self._who} cannot be reached, or broke off"
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            late = f"{self._who} did not answer within {self._torchserve.timeout_s:g} s"
            return f"{late}; if its log shows a failing worker, export the model's archive again"
        if details.startswith(_NOT_THERE):  # with status INTERNAL
            return f"{self._who} does not serve {self._title}: have it load the model's archive"
        return f"{self._who} failed ({code.name}); its log says why"
