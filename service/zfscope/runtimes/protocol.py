"""What a forward runtime is: prepared images in, class scores or the outputs of layers out."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.networks.spec import NetworkSpec


class Runtime(Protocol):
    """Who runs the forward pass of one model. Many threads may call it at once.

    Every method raises RuntimeUnavailable where what runs it, another process or a device, is not there.
    """

    @property
    def name(self) -> str:
        """What users call it: `onnx`, `torch`, `torchserve`."""
        ...

    def forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the class scores (logits), (N, classes), of images: float32 (N, 3, H, W), normalised.

        Raises InputError for images of another type or size than the model's.
        """
        ...

    def outputs(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Give what layers give for images, by name: (N, maps, rows, columns), or (N, units).

        Raises NotFound for an unknown layer, InputError as `forward`.
        """
        ...

    def check(self) -> None:
        """Raise RuntimeUnavailable where a pass could not be run now, as far as can be told without one."""
        ...


def check_images(images: NDArray[np.float32], spec: NetworkSpec) -> None:
    """Raise InputError unless images are what the network reads: float32 (N, channels, size, size), N > 0."""
    wanted = (spec.input_channels, spec.input_size, spec.input_size)
    if images.dtype != np.float32:
        message = f"images of type {images.dtype}; network '{spec.name}' reads float32"
        raise InputError(message, field="images")
    if images.ndim != 4 or images.shape[1:] != wanted or not len(images):
        channels, rows, columns = wanted
        raise InputError(
            f"images of shape {images.shape}; network '{spec.name}' reads (N, {channels}, {rows}, {columns}) "
            "with N of 1 or more",
            field="images",
        )
