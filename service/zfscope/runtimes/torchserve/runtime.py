"""The TorchServe runtime, a gRPC client of the handler that runs the same network inside TorchServe."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import grpc
import numpy as np
from numpy.typing import NDArray

from zfscope.errors import RuntimeUnavailable
from zfscope.networks.spec import shapes
from zfscope.runtimes.cells import compute_cell_maxima
from zfscope.runtimes.protocol import MapMaxima, check_call, from_arrays, part_names
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
    ("grpc.max_receive_message_length", -1),  # outputs of early layers are large
    ("grpc.enable_http_proxy", 0),
    # Reconnect to a restarted TorchServe within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]

# Beginnings of TorchServe's messages about a model or version that is not loaded.
_NOT_SERVED = ("Model not found", "Model version")


class TorchServeRuntime:
    """Runs a model in a TorchServe server that has its archive, by name and version.

    Every call raises RuntimeUnavailable if TorchServe is unreachable, does not serve the model with these
    weights, fails, or exceeds the time limit.
    """

    name = title = "torchserve"
    precision = "float32"

    def __init__(self, model: Model, torchserve: TorchServe) -> None:
        """Create the channel; it connects on the first request."""
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
        """Return the maxima of maps, computed by the handler; see `Runtime`.

        The last bits of the results may differ between scans, because TorchServe batches images of several
        calls.
        """
        names = check_call(images, self._spec, layers)
        shape = {name: (len(images), self._shapes[name][0]) for name in names}
        wanted = {f"{name}/{part}": shape[name] for name in names for part in part_names(sums=sums)}
        parts = {REDUCE: (SUMS if sums else VALUES).encode()}
        arrays = self._arrays(images, names, wanted, parts) if names else {}
        return {name: from_arrays(name, arrays, sums=sums) for name in names}

    def cell_maxima(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the maxima of maps in cells, computed here from whole outputs; see `Runtime`."""
        return {name: compute_cell_maxima(array) for name, array in self.outputs(images, layers).items()}

    def check(self) -> None:
        """Raise RuntimeUnavailable unless the handler responds and has these weights."""
        self._request({})

    @property
    def _server(self) -> str:
        return f"TorchServe at {self._torchserve.address}"

    def _arrays(
        self,
        images: NDArray[np.float32],
        layers: Sequence[str],
        wanted: Mapping[str, tuple[int, ...]],
        parts: Mapping[str, bytes] = MappingProxyType({}),
    ) -> Mapping[str, Array]:
        """Request outputs of layers. wanted: shapes of the expected arrays by name."""
        request = {IMAGES: pack(Message({IMAGES: images})), LAYERS: ",".join(layers).encode()}
        response = self._request({**request, **parts})
        returned = {name: array.shape for name, array in response.arrays.items()}
        if returned != wanted:
            raise RuntimeUnavailable(
                f"{self._server} returned arrays of shapes {returned}; expected {wanted}"
            )
        return response.arrays

    def _request(self, parts: Mapping[str, bytes]) -> Message:
        request = PredictionsRequest(**self._model, input={WEIGHTS: self._weights, **parts})
        try:
            response = self._predictions(request, timeout=self._torchserve.timeout_s)
        except grpc.RpcError as error:
            raise RuntimeUnavailable(self._reason(error)) from error
        try:
            message = unpack(response.prediction)
        except ValueError as error:
            reason = f"{self._server} returned an unreadable response ({error})"
            hint = "was its archive made by `zfscope models export --format mar`?"
            raise RuntimeUnavailable(f"{reason}; {hint}") from error
        if ERROR in message.metadata:
            raise RuntimeUnavailable(f"{self._server}: {message.metadata[ERROR]}")
        return message

    def _reason(self, error: grpc.RpcError) -> str:
        assert isinstance(error, grpc.Call)
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE:
            return f"{self._server} is unreachable, or closed the connection"
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            message = f"{self._server} did not respond within {self._torchserve.timeout_s:g} s"
            return f"{message}; if its log shows a failing worker, export the model's archive again"
        if details.startswith(_NOT_SERVED):  # with status INTERNAL
            return f"{self._server} does not serve {self._title}: load the model's archive"
        return f"{self._server} failed ({code.name}); see its log"
