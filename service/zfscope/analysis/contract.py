"""What an analyzer is: the contract between zfscope and every analysis, its own ones included.

    from zfscope.plugin import Analysis, Context, Model

    class BrightnessParams(BaseModel, extra="forbid"):
        channel: int = Field(default=0, ge=0, le=2, description="Red, green or blue.")

    class Brightness:
        name = "brightness"
        summary = "The mean level of a colour of a photo"
        api_version = 2
        photos = (1, 1)
        params = BrightnessParams

        def cost(self, model: Model, params: BrightnessParams) -> int:
            return 0  # forward passes for each photo

        def analyze(self, context: Context, params: BrightnessParams) -> Analysis:
            context.check_cancelled()
            photo = context.images[0].photo
            return Analysis(numbers={"level": float(photo[:, :, params.channel].mean())})

A package registers the class as an entry point of the group `zfscope.analyzers`, under its name.
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
]

API_VERSION = 2
"""Version of this contract: an analyzer states the one that it was written for."""

ParamsT = TypeVar("ParamsT", bound=BaseModel)


def picture(name: str, rendering: Rendering) -> Picture:
    """Encode a rendering."""
    return Picture(name, rendering.png(), rendering.scale)


def _nothing(*_: object) -> None:
    """Do nothing: nobody watches, and nobody cancels."""


@dataclass(frozen=True, eq=False)
class Context:
    """What an analyzer works with. It belongs to one request.

    images: one for each photo of the request, cropped and normalised for the model. pictures, tensors:
    what the caller wants to have; what it does not want need not be made.
    """

    model: Model
    runtime: Runtime
    images: tuple[Prepared, ...]
    pictures: bool = True
    tensors: bool = False
    store: ModelStore | None = None
    """The models that there are, for an analysis of several; None in a test that has no folder of them."""
    progress: Callable[[float, Callable[[], Analysis] | None], None] = _nothing
    """Tell the share (0..1) that is done and, where there is something to show already, what gives it.

    That is called before `progress` returns, in the same thread, so it may read arrays that are written to
    later; and only where somebody waits to see it: by `Analyze` when the message is read at once and half a
    second has passed since the last, by the command line and the RPCs with an answer of their own never.
    """
    limits: DecodeLimits = field(default_factory=environment_limits)
    """Of images that the analyzer itself decodes, such as files among its parameters."""
    noticed: tuple[Notice, ...] = ()
    """What was assumed of the model: the answer says so, with what was assumed of the photos."""
    check_cancelled: Callable[[], None] = _nothing
    """Raise Cancelled where the caller went away or its deadline passed; call it every 100 ms or so."""


class Analyzer(Protocol[ParamsT]):
    """An analysis of photos by a model. One instance serves all requests, from many threads at once.

    What is a property here is only read: an attribute of the class does, as in the example above.
    """

    @property
    def name(self) -> str:
        """What `Analyze` and the command line call it: lower case, digits, hyphens; also its entry point."""
        ...

    @property
    def summary(self) -> str:
        """In one line, what it shows."""
        ...

    @property
    def api_version(self) -> int:
        """The `API_VERSION` that it was written for."""
        ...

    @property
    def photos(self) -> tuple[int, int]:
        """The fewest and the most photos that it takes at once."""
        ...

    @property
    def params(self) -> type[ParamsT]:
        """A pydantic model of its parameters: checks, defaults, JSON schema and CLI options come from it.

        None of them is called as one of `zfscope.analysis.reserved`.
        """
        ...

    def cost(self, model: Model, params: ParamsT) -> int:
        """Return about how many forward passes each photo will cost: for admission, before any is run.

        Where no photo is taken, those of the whole analysis.
        """
        ...

    def analyze(self, context: Context, params: ParamsT) -> Analysis:
        """Do it.

        Raises InputError or NotFound for parameters that do not fit the model or photos: field is the
        parameter (`label`, `parts[1].name`), or `images[0]` for a photo. Who asked by `Analyze` is told
        `parameters.label`.
        """
        ...


def images_of(model: Model, pixels: NDArray[np.float32]) -> "torch.Tensor":
    """Return crops, float32 (N, 3, H, W), as the model's network reads them: its type, on its device."""
    import torch  # which not all that runs an analysis needs: the command line lists them without

    return torch.from_numpy(np.ascontiguousarray(pixels)).to(next(model.network.parameters()))


def array(values: Any) -> NDArray[np.float32]:
    """Return a torch tensor as float32 on the CPU, as an `Analysis` holds it."""
    result: NDArray[np.float32] = values.detach().float().cpu().numpy()
    return result
