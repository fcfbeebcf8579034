"""The strongest units by TorchServe: its handler finds them, and whole activations do not travel."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from zfscope.runtimes.reducing import Reduced
from zfscope.runtimes.torchserve.address import TorchServe
from zfscope.runtimes.torchserve.runtime import TorchServeRuntime
from zfscope.store.store import Model


class TorchServeReducing:
    """Asks for some layers of a model that is registered with TorchServe.

    TorchServe may put images of two calls into one pass: what they give can differ in its last bits from one
    scan to the next.
    """

    name = "torchserve"

    def __init__(
        self, model: Model, torchserve: TorchServe, layers: Sequence[str], *, sums: bool = False
    ) -> None:
        """Connect; nothing is asked yet. sums: whether maps are added up too."""
        self._runtime = TorchServeRuntime(model, torchserve)
        self._layers, self._sums = tuple(layers), sums

    def reduce(self, images: NDArray[np.float32]) -> Mapping[str, Reduced]:
        """Give what each of the layers makes of images; see `Reducing`."""
        return self._runtime.reduced(images, self._layers, sums=self._sums)
