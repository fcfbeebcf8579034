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
        needs = ()  # nothing of the model; see below

        def cost(self, model: Model, params: BrightnessParams) -> int:
            return 0  # forward passes per photo

        def analyze(self, context: Context, params: BrightnessParams) -> Analysis:
            context.check_cancelled()
            photo = context.images[0].photo
            return Analysis(numbers={"level": float(photo[:, :, params.channel].mean())})

A package registers the class as an entry point in the group `zfscope.analyzers`, under the analyzer's name.

`needs` is a collection of members of `Need`: what a model must have for the analyzer to run. `Need.network`
is a list of layers to walk, by `Model.network`, `Context.trace` or `Context.control`: opaque graphs lack it.
`Need.scores` are class scores; networks that end in feature maps have none. `Need.outputs` are outputs of
layers, by `Context.trace_layers`; all models have them. A request for a model that lacks one is rejected
before any work, and lists of analyzers say why. Without the attribute, an analyzer counts as needing a
network: the safe default.

An analyzer that explains a class may give the tensor `attribution`, float32 (rows, columns) of the
network's input (the first crop): how much each pixel supports the class, signed; deletion removes the
highest first. It takes the class, a label's id, as its parameter `label`, as the only one of `classes`, or as
the unit of the class scores given by `layer` and `units`. Analyses that compare explanations, such as
`faithfulness`, can then run it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from zfscope.analysis.classification import check_classifies, class_number
from zfscope.analysis.needs import Need
from zfscope.choices import PrecisionName
from zfscope.images.limits import DecodeLimits, environment_limits
from zfscope.images.preprocess import Prepared
from zfscope.images.render import Rendering
from zfscope.results import Analysis, Notice, Picture, Table
from zfscope.runtimes import Runtime, create_runtime
from zfscope.store import Model, ModelStore, Weights

if TYPE_CHECKING:
    import torch

    from zfscope.analysis.registry import Registry
    from zfscope.engine.trace import Trace
    from zfscope.networks import Network

__all__ = [
    "API_VERSION",
    "ATTRIBUTION",
    "Analysis",
    "Analyzer",
    "Context",
    "Need",
    "Notice",
    "Picture",
    "RunsOthers",
    "Subanalysis",
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
# Name of the tensor with a class's attribution; see above.
ATTRIBUTION = "attribution"

ParamsT = TypeVar("ParamsT", bound=BaseModel)
InputT = TypeVar("InputT", bound=BaseModel, contravariant=True)


def picture(name: str, rendering: Rendering) -> Picture:
    """Encode a rendering as a PNG picture."""
    return Picture(name, rendering.png(), rendering.scale)


def _nothing(*_: object) -> None:
    """Ignore progress and cancellation."""


def images_of(model: Model, pixels: NDArray[np.float32]) -> "torch.Tensor":
    """Convert crops, float32 (N, C, H, W), to a torch tensor of the network's dtype and device.

    For an opaque network, which has neither: float32 on the CPU.
    """
    import torch  # imported late: listing analyzers does not need torch

    images = torch.from_numpy(np.ascontiguousarray(pixels))
    return images if model.is_opaque else images.to(next(model.network.parameters()))


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


@dataclass(frozen=True)
class Subanalysis:
    """An analysis that another one runs on its own photos by `Context.analyze`.

    analyzer: name. parameters: as given by the caller. field: parameter of the outer analysis that names the
    analyzer. under: parameter of the outer analysis that contains the parameters. Errors name them. times:
    how often it runs. optional: whether the outer analysis has a result without it; if not, a request for a
    model that it cannot run with is rejected.
    """

    analyzer: str
    parameters: Mapping[str, Any]
    field: str
    under: str
    times: int = 1
    optional: bool = False


@dataclass(frozen=True, eq=False)
class Context:
    """Inputs and callbacks of one analysis request.

    model: the model. runtime: its forward passes. images: the photos of the request, cropped and normalised
    for the model. pictures, tensors: whether the caller requested them; others need not be computed.
    store: the available models, for analyses of several models; None in tests without a store.
    limits: limits for images that the analyzer itself decodes, such as mask files among its parameters.
    noticed: warnings about the model, added to those of the result. tracer, randomiser: sources of traces and
    control networks for `trace` and `control`; in a service and in `LocalClient`, the cache that all requests
    share. analyzers: the analyzers that `analyze` may run; None for all that are installed.

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
    analyzers: "Registry | None" = None

    @property
    def precision(self) -> str:
        """Precision of the runtime, and of an analysis that computes with `network`; it says so."""
        return self.runtime.precision

    @property
    def network(self) -> "Network":
        """Network in that precision, for projections and recomputed layers."""
        return self.model.network_in(self.precision)

    @property
    def trace_precision(self) -> str:
        """Precision of traces and controls: tf32 if the runtime's is, which holds for the GPU, else float32.

        Stated in results at least, without the analyzer's doing.
        """
        is_tf32 = self.precision == PrecisionName.tf32
        return (PrecisionName.tf32 if is_tf32 else PrecisionName.float32).value

    def trace(self, index: int = 0, *, until: str | None = None) -> "Trace":
        """Return the trace of a photo's first crop: outputs and switches of all layers up to `until`.

        until: last layer that is needed (default: the last of the network). Other requests use the same
        trace, so it may contain later layers as well; never write to it. Raises NotFound for an unknown
        layer, and InputError for an opaque network, whose outputs `trace_layers` returns.
        """
        return self.tracer(self.model, self.images[index].pixels[:1], until)

    def trace_layers(self, layers: Sequence[str], index: int = 0) -> "Trace":
        """Return the outputs of layers for a photo's first crop, as a trace that has at least these.

        That of `trace`; of an opaque network, one of the runtime's outputs, without switches. Raises NotFound
        for an unknown layer.
        """
        if self.model.is_opaque:
            from zfscope.engine.trace import recorded_outputs  # imported late, like torch

            pixels = self.images[index].pixels[:1]
            return recorded_outputs(pixels, self.runtime.outputs(pixels, layers))
        names = [layer.name for layer in self.model.spec.layers]
        last = max((self.model.spec.layer(layer).name for layer in layers), key=names.index)
        return self.trace(index, until=last)

    def control(self, layer: str, *, down_to: str = "") -> "Network":
        """Return the model with random weights, the same in every call, for projections from a layer.

        Other requests use the same network; never write to it. down_to: first layer with random weights;
        empty for all layers.
        """
        return self.randomiser(self.model, layer, down_to)

    def randomised(self) -> "Context":
        """Return a context whose model has the weights of `control`, which torch runs.

        Nothing of it is shared with other requests but the weights.
        """
        control = self.control(self.model.spec.scores)
        random = self.with_model(replace(self.model, weights=Weights.from_network(control)), self.images)
        return replace(random, tracer=trace_pixels, randomiser=randomise)

    def with_model(self, model: Model, images: tuple[Prepared, ...]) -> "Context":
        """Return a context of another model, which torch runs on this model's device; it reports no progress.

        ONNX Runtime runs an opaque network. images: the photos, prepared for that model.
        """
        device = self.model.weights.device
        kind = "onnx" if model.is_opaque else "torch"
        model = replace(model, weights=model.weights.on_device(device))
        runtime = create_runtime(kind, model, device=device, precision=self.trace_precision)
        return replace(self, model=model, runtime=runtime, images=images, progress=_nothing)

    def analyze(
        self, other: Subanalysis, *, class_index: int | None = None, share: tuple[float, float] = (0, 0)
    ) -> Analysis:
        """Run another analyzer on the photos of this context; return its result without pictures.

        An analyzer declares such analyses in `subanalyses`, so that parameters are validated and costs
        counted before anything runs. class_index: class that an attribution explains, unless the parameters
        name one. share: the part of this analysis's progress that it takes, from and to, within 0..1; (0, 0)
        reports none. Raises the errors of `Analyze`, with the parameter of this analysis as field.
        """
        from zfscope.analysis.subanalysis import run_subanalysis  # imports the registry, which imports this

        return run_subanalysis(self, other, class_index=class_index, share=share)


class Analyzer(Protocol[ParamsT]):
    """An analysis of photos by a model. One instance serves all requests, concurrently from several threads.

    Properties may be implemented as class attributes, as in the example above. One more is optional: `needs`,
    a collection of `Need`; see above.
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


class RunsOthers(Protocol[InputT]):
    """An analyzer that runs other analyzers on its photos."""

    def subanalyses(self, params: InputT) -> Sequence[Subanalysis]:
        """Return the analyses that it runs; their costs are added to its own."""
        ...
