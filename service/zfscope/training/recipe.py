"""A recipe: all that decides how a network is trained, read from a small file of settings."""

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
    """How photos are cut in a part of the run, from `start` (a share of the epochs) on."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start: Share = 0.0
    size: PositiveInt | None = None
    """Pixels that crops are resized to; none: those of the network."""
    smallest_crop: Annotated[float, Field(gt=0, le=1)] = 0.35
    largest_crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Shares of the photo's area between which random crops are drawn."""


class Recipe(BaseModel):
    """The settings of a training run; see `recipes/` for the named ones."""

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
    filter_rms: PositiveFloat | None = 0.1
    """Filters of conv layers whose RMS exceeds this are scaled down to it (Sec 3); none: never."""
    centre_filters: bool = False
    """Take the mean out of the filters of all conv layers but the first, after each step."""
    bias_rate: PositiveFloat = 1.0
    """The learning rate of biases, as a share of that of weights."""
    mean: Literal["image", "channels"]
    """What is subtracted: the mean of all training photos, pixel by pixel (Sec 3), or ImageNet's colours."""
    crop: Literal["ten", "random"]
    phases: tuple[Phase, ...] = (Phase(),)
    initial_deviation: dict[str, PositiveFloat] = {}

    def phase(self, progress: float) -> Phase:
        """Give the phase that a run is in at `progress` (0..1)."""
        return [phase for phase in self.phases if phase.start <= progress][-1]

    @model_validator(mode="after")
    def _phases_cover_the_run(self) -> "Recipe":
        starts = [phase.start for phase in self.phases]
        if not starts or starts[0] != 0 or starts != sorted(starts):
            raise ValueError(f"phases start at {starts}; the first starts at 0, the others in order")
        if self.mean == "image" and self.crop != "ten":
            raise ValueError('a mean image fits no random crops; give mean = "channels"')
        if self.crop == "ten" and self.phases != (Phase(),):
            raise ValueError("ten crops are as large as the network reads; leave out the phases")
        return self


def recipe_names() -> tuple[str, ...]:
    """Name the recipes that come with the package."""
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in _FOLDER.iterdir()))


def load_recipe(name: str) -> Recipe:
    """Read a named recipe, or a TOML file of one's own.

    Raises NotFound for an unknown name, InputError for a file that is no recipe.
    """
    try:
        data = Path(name).read_bytes() if name.endswith(".toml") else (_FOLDER / f"{name}.toml").read_bytes()
    except OSError as error:
        known = ", ".join(recipe_names())
        raise NotFound(
            f"no recipe '{name}'; there are {known}, or give a .toml file", field="recipe"
        ) from error
    try:
        return Recipe.model_validate(tomllib.loads(decode_text(data)))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        fault = first_fault(error, Recipe) if isinstance(error, ValidationError) else error
        raise InputError(f"recipe '{name}' cannot be used: {fault}", field="recipe") from error
