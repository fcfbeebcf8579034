"""Contract of an analyzer, implemented by built-in and third-party analyzers.

    from zfscope.plugin import Analysis, Context, Model

    class BrightnessParams(BaseModel, extra="forbid"):
        channel: int = Field(default=0, ge=0, le=2, description="Colour channel: 0 red, 1 green, 2 blue.")

    class Brightness:
        name = "brightness"
        summary = "The mean level of one colour channel of a photo"
        api_version = 2
        photos = (1, 1)
        params = BrightnessParams

        def cost(self, model: Model, params: BrightnessParams) -> int:
            return 0  # forward passes per photo

        def analyze(self, context: Context, params: BrightnessParams) -> Analysis:
            context.check_cancelled()
            photo = context.images[0].photo
            return Analysis(numbers={"level": float(photo[:, :, params.channel].mean())})

A package registers the class as an entry point in the group `zfscope.analyzers`, under the analyzer's name.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from zfscope.analysis.classification import check_classifies, class_number
from zfscope.images.limits import DecodeLimits, environment_limits
from zfscope.images.preprocess import Prepared
from zfscope.images.render import Rendering
from zfscope.results import Analysis, Notice, Picture, Table
from zfscope.runtimes import Runtime
from zfscope.store import Model, ModelStore

if TYPE_CHECKING:
    import torch

    from zfscope.engine.trace import Trace
    from zfscope.networks import Network

__all__ = [
    "API_VERSION",
    "Analysis",
    "Analyzer",
    "Context",
    "Notice",
    "Picture",
    "Table",
    "array",
    "check_classifies",
    "class_number",
    "images_of",
    "picture",
    "randomise",
    "trace_pixels",
]

# Version of this contract; an analyzer declares the version that it implements.
API_VERSION = 2

ParamsT = TypeVar("ParamsT", bound=BaseModel)


def picture(name: str, rendering: Rendering) -> Picture:
    """Encode a rendering as a PNG picture."""
    return Picture(name, rendering.png(), rendering.scale)


def _nothing(*_: object) -> None:
    """Ignore progress and cancellation."""


def images_of(model: Model, pixels: NDArray[np.float32]) -> "torch.Tensor":
    """Convert crops, float32 (N, C, H, W), to a torch tensor of the network's dtype and device."""
    import torch  # imported late: listing analyzers does not need torch

    return torch.from_numpy(np.ascontiguousarray(pixels)).to(next(model.network.parameters()))


def array(values: Any) -> NDArray[np.float32]:
    """Convert a torch tensor to a float32 numpy array for an `Analysis`."""
    result: NDArray[np.float32] = values.detach().float().cpu().numpy()
    return result


def trace_pixels(model: Model, pixels: NDArray[np.float32], until: str | None = None) -> "Trace":
    """Trace crops, float32 (N, C, H, W), up to a layer (default: the last)."""
    from zfscope.engine.trace import trace  # imported late, like torch

    return trace(model.network, images_of(model, pixels), until=until)


def randomise(model: Model, layer: str, down_to: str = "") -> "Network":
    """Return the control network of a model; see `zfscope.analysis.control.control_network`."""
    from zfscope.analysis.control import control_network  # imported late, like torch

    return control_network(model.network, layer, down_to=down_to)


@dataclass(frozen=True, eq=False)
class Context:
    """Inputs and callbacks of one analysis request.

    model: the model. runtime: its forward passes. images: the photos of the request, cropped and normalised
    for the model. pictures, tensors: whether the caller requested them; others need not be computed.
    store: the available models, for analyses of several models; None in tests without a store.
    limits: limits for images that the analyzer itself decodes, such as mask files among its parameters.
    noticed: warnings about the model, added to those of the result. tracer, randomiser: sources of traces and
    control networks for `trace` and `control`; in a service and in `LocalClient`, the cache that all requests
    share.

    progress: reports the fraction done (0..1) and optionally a function that returns a partial result. The
    function is called before `progress` returns, in the same thread, so it may read arrays that change later.
    It is called only if the caller wants partial results, at most every half second, or every tenth without
    pictures: by `Analyze` while the client keeps up with reading, and by `LocalClient` on request; never by
    the command line or the typed RPCs.

    check_cancelled: raises Cancelled if the caller disconnected or its deadline passed; call it about every
    100 ms.
    """

    model: Model
    runtime: Runtime
    images: tuple[Prepared, ...]
    pictures: bool = True
    tensors: bool = False
    store: ModelStore | None = None
    progress: Callable[[float, Callable[[], Analysis] | None], None] = _nothing
    limits: DecodeLimits = field(default_factory=environment_limits)
    noticed: tuple[Notice, ...] = ()
    check_cancelled: Callable[[], None] = _nothing
    tracer: Callable[[Model, NDArray[np.float32], str | None], "Trace"] = trace_pixels
    randomiser: Callable[[Model, str, str], "Network"] = randomise

    def trace(self, index: int = 0, *, until: str | None = None) -> "Trace":
        """Return the trace of a photo's first crop: outputs and switches of all layers up to `until`.

        until: last layer that is needed (default: the last of the network). Other requests use the same
        trace, so it may contain later layers as well; never write to it. Raises NotFound for an unknown
        layer.
        """
        return self.tracer(self.model, self.images[index].pixels[:1], until)

    def control(self, layer: str, *, down_to: str = "") -> "Network":
        """Return the model with random weights, the same in every call, for projections from a layer.

        Other requests use the same network; never write to it. down_to: first layer with random weights;
        empty for all layers.
        """
        return self.randomiser(self.model, layer, down_to)


class Analyzer(Protocol[ParamsT]):
    """An analysis of photos by a model. One instance serves all requests, concurrently from several threads.

    Properties may be implemented as class attributes, as in the example above.
    """

    @property
    def name(self) -> str:
        """Name in `Analyze`, on the command line and of the entry point: lower case, digits and hyphens."""
        ...

    @property
    def summary(self) -> str:
        """One-line description of what it shows."""
        ...

    @property
    def api_version(self) -> int:
        """The `API_VERSION` that it implements."""
        ...

    @property
    def photos(self) -> tuple[int, int]:
        """Minimum and maximum number of photos per request."""
        ...

    @property
    def params(self) -> type[ParamsT]:
        """Pydantic model of its parameters, the source of validation, defaults, JSON schema and CLI options.

        Names in `zfscope.analysis.reserved.RESERVED` are not allowed.
        """
        ...

    def cost(self, model: Model, params: ParamsT) -> int:
        """Return the approximate number of forward passes per photo, or in total without photos.

        Called before the analysis to decide whether the request is admitted.
        """
        ...

    def analyze(self, context: Context, params: ParamsT) -> Analysis:
        """Run the analysis.

        Raises InputError or NotFound for parameters that do not fit the model or photos, with the
        parameter (`label`, `parts[1].name`) or photo (`images[0]`) as field. `Analyze` reports `label` as
        `parameters.label`.
        """
        ...
