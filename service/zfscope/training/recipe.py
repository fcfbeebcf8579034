"""Recipes: the settings of a training run, read from a TOML file."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from zfscope.errors import InputError, NotFound
from zfscope.text import decode_text
from zfscope.validation import first_fault

Share = Annotated[float, Field(ge=0, le=1)]
_FOLDER = files("zfscope.training") / "recipes"


class Phase(BaseModel):
    """How photos are cropped in a part of the run.

    start: first epoch of the phase, as a fraction of all epochs. size: crops are resized to this many pixels;
    by default to the network's input size. smallest_crop, largest_crop: range of the area of random crops, as
    a fraction of the photo's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start: Share = 0.0
    size: PositiveInt | None = None
    smallest_crop: Annotated[float, Field(gt=0, le=1)] = 0.35
    largest_crop: Annotated[float, Field(gt=0, le=1)] = 1.0


class Teaching(BaseModel):
    """What a network learns from its teacher, `--teacher`, beside the classes of the photos.

    The loss is the sum of three losses, each with its weight. labels: cross-entropy with the classes of the
    photos. scores: cross-entropy with the teacher's class probabilities (Hinton et al. 2015), as given by a
    fully connected layer of the run that is dropped afterwards, so that the classes of the teacher may be
    others. temperature: class scores of both are divided by it; higher values give more weight to the classes
    that the teacher holds for unlikely. maps: mean over the matched layers of the share of the variance of
    the teacher's maps that the network's do not explain (hints, Romero et al. 2015). match: the teacher's
    layer by the network's own layer; the own layer may have more maps, and its first ones are compared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    labels: float = Field(default=1.0, ge=0)
    scores: float = Field(default=1.0, ge=0)
    temperature: PositiveFloat = 1.0
    maps: float = Field(default=1.0, ge=0)
    match: dict[str, str] = {}


class Recipe(BaseModel):
    """The settings of a training run; see `recipes/` for the named recipes.

    summary: one line that describes the recipe. momentum: of `sgd`; `adamw` uses torch's defaults.
    learning_rate: the highest of the run. weight_decay: of weights; biases have none. warm_up_epochs: epochs
    in which the learning rate rises from 0. schedule: `cosine` lowers the learning rate to 0, `plateau`
    divides it after epochs without a better score. batch: photos per step. label_smoothing: share of the
    target spread over all classes. crop: `ten` takes the four corners, the centre and their mirror images,
    `random` random crops. phases: see below.
    filter_rms: convolutional filters with a larger RMS are scaled down to it (Sec 3); 0 disables this.
    centre_filters: subtract the mean of convolutional filters, except the first layer's and those of a tuned
    model, after each step.
    bias_rate: learning rate of biases, as a multiple of that of weights. new_layer_rate: learning rate of the
    new class scores of a tuned model, as a multiple of that of its other layers.
    initial_deviation: standard deviation of initial weights, by name or unique suffix of a layer; "*": of all
    other layers. teaching: what is learnt from a teacher; see `Teaching`.
    mean: subtract the pixelwise mean of all training photos (`image`, Sec 3), or ImageNet's mean colour
    (`channels`); `model`: fine-tune a model with its own preprocessing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    summary: str
    optimizer: Literal["sgd", "adamw"]
    learning_rate: PositiveFloat
    momentum: Share = 0.9
    weight_decay: float = Field(default=0.0, ge=0)
    warm_up_epochs: float = Field(default=0.0, ge=0)
    schedule: Literal["plateau", "cosine"]
    batch: PositiveInt
    label_smoothing: Share = 0.0
    filter_rms: float = Field(default=0.1, ge=0)
    centre_filters: bool = False
    bias_rate: PositiveFloat = 1.0
    new_layer_rate: PositiveFloat = 1.0
    mean: Literal["image", "channels", "model"]
    crop: Literal["ten", "random"]
    phases: tuple[Phase, ...] = (Phase(),)
    initial_deviation: dict[str, PositiveFloat] = {}
    teaching: Teaching = Teaching()

    def phase(self, progress: float) -> Phase:
        """Return the phase of a run at `progress` (0..1)."""
        return [phase for phase in self.phases if phase.start <= progress][-1]

    @model_validator(mode="after")
    def _phases_cover_the_run(self) -> "Recipe":
        starts = [phase.start for phase in self.phases]
        if not starts or starts[0] != 0 or starts != sorted(starts):
            raise ValueError(
                f"phases start at {starts}; the first must start at 0, the others in ascending order"
            )
        if self.mean == "image" and self.crop != "ten":
            raise ValueError('mean = "image" does not work with random crops; set mean = "channels"')
        if self.crop == "ten" and self.phases != (Phase(),):
            raise ValueError('crop = "ten" takes crops of the network\'s input size; remove the phases')
        return self


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes in this package."""
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in _FOLDER.iterdir()))


def load_recipe(name: str) -> Recipe:
    """Read a recipe by name, or from the path of a `.toml` file.

    Raises NotFound for an unknown name or a missing file, InputError if the file is not a valid recipe.
    """
    try:
        data = Path(name).read_bytes() if name.endswith(".toml") else (_FOLDER / f"{name}.toml").read_bytes()
    except OSError as error:
        available = ", ".join(recipe_names())
        message = f"recipe '{name}' not found; available: {available}, or give the path of a .toml file"
        raise NotFound(message, field="recipe") from error
    try:
        return Recipe.model_validate(tomllib.loads(decode_text(data)))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        fault = first_fault(error, Recipe) if isinstance(error, ValidationError) else error
        raise InputError(f"recipe '{name}' is not valid: {fault}", field="recipe") from error
