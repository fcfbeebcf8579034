"""The manifest of a stored model, `model.json`: everything about it but the weights."""

import datetime
import re
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PlainSerializer,
    PositiveInt,
    model_validator,
)

from zfscope.errors import NotFound
from zfscope.images.preprocess import Preprocessing
from zfscope.networks.spec import NetworkSpec, shapes
from zfscope.results import Notice

MANIFEST = "model.json"
WEIGHTS = "weights.safetensors"
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_FILE_PART = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")

Percent = Annotated[float, Field(ge=0, le=100)]


def validate_file_name(name: str) -> str:
    """Give the name of a file inside a version's folder back, if it is one.

    Allowed: parts of letters, digits, `_`, `-` and `.` (not first), joined by `/`. Raises ValueError.
    """
    if not all(_FILE_PART.fullmatch(part) for part in name.split("/")):
        raise ValueError(f"file name '{name}' must be relative, of letters, digits, '_', '-', '.' and '/'")
    return name


File = Annotated[str, AfterValidator(validate_file_name)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Hashes = Annotated[
    Mapping[File, Sha256], AfterValidator(MappingProxyType), PlainSerializer(dict, return_type=dict)
]
"""SHA-256 in hexadecimal of each file, by its name; read-only."""


class _ManifestPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Label(_ManifestPart):
    """A class: its stable id (a WordNet synset, a folder's name) and its name for people."""

    id: str = Field(min_length=1)
    name: str = Field(min_length=1)


class RecordedAccuracy(_ManifestPart):
    """What was measured, in percent, on `images` photos of `data`.

    trained_on: how many of these are training photos too, by the hash of their files; None where that was
    not looked at.
    """

    top1: Percent
    top5: Percent
    images: PositiveInt
    data: str
    ten_crop_top1: Percent | None = None
    ten_crop_top5: Percent | None = None
    trained_on: NonNegativeInt | None = None


class Provenance(_ManifestPart):
    """Where the weights come from; empty where it is not known."""

    source: str
    data: str = ""
    data_licence: str = ""
    recipe: str = ""
    epochs: NonNegativeInt | None = None
    date: datetime.date | None = None
    licence: str = ""


class Checkpoint(_ManifestPart):
    """The convolutional layers as they were after an epoch of training."""

    epoch: NonNegativeInt
    file: File


class Manifest(_ManifestPart):
    """A model as data: network, preprocessing, labels, accuracy, provenance and the hash of every file.

    `labels[i]` is what unit i of the network's last layer means; a network that ends in feature maps has
    none, and can be looked into but does not classify. `preprocessing_assumed`: it is that of the network's
    definition, since the file of weights did not state one. `files` is empty only until the model is written.
    Raises `pydantic.ValidationError` where layers do not fit together, the labels are not one per class
    score, or a name could lead out of the model's folder.
    """

    format_version: Literal[1] = 1
    name: str = Field(pattern=NAME_PATTERN)
    version: PositiveInt
    summary: str
    network: NetworkSpec
    preprocessing: Preprocessing
    preprocessing_assumed: bool = False
    labels: tuple[Label, ...]
    accuracy: RecordedAccuracy | None = None
    provenance: Provenance
    checkpoints: tuple[Checkpoint, ...] = ()
    files: Hashes = Field(default_factory=lambda: MappingProxyType({}))

    @model_validator(mode="after")
    def _labels_fit_the_network(self) -> "Manifest":
        last = self.network.scores
        scores = shapes(self.network)[last]
        if self.network.is_map(last) and not self.labels:
            return self
        if scores != (len(self.labels),):
            raise ValueError(f"{len(self.labels)} labels for layer '{last}' of shape {scores}: one per class")
        (label, times), *_ = Counter(label.id for label in self.labels).most_common(1)
        if times > 1:
            raise ValueError(f"label id '{label}' is there {times} times")
        return self

    @model_validator(mode="after")
    def _photos_fit_the_network(self) -> "Manifest":
        if self.network.input_channels != 3:
            raise ValueError(
                f"the network reads images of {self.network.input_channels} channels; photos are prepared in "
                "3 (red, green and blue): use a network whose input_channels is 3"
            )
        if self.network.input_size != self.preprocessing.crop:
            raise ValueError(
                f"the network reads images of {self.network.input_size} pixels a side (input_size), and the "
                f"preprocessing gives {self.preprocessing.crop} (crop); they must be equal"
            )
        return self

    def checkpoint(self, epoch: int) -> Checkpoint:
        """Give the checkpoint of an epoch. Raises NotFound, with the epochs that there are."""
        for checkpoint in self.checkpoints:
            if checkpoint.epoch == epoch:
                return checkpoint
        kept = ", ".join(str(checkpoint.epoch) for checkpoint in self.checkpoints)
        there = f"there are {kept}" if kept else "it was kept without any"
        raise NotFound(f"no checkpoint of epoch {epoch} of {self.title}; {there}", field="checkpoint")

    @property
    def early_epochs(self) -> tuple[int, ...]:
        """The epochs of the checkpoints, ascending, without the last of the training: that is the model."""
        last = self.provenance.epochs
        return tuple(sorted(kept.epoch for kept in self.checkpoints if kept.epoch != last))

    def epoch_label(self, epoch: int | None) -> str:
        """Return what figures call an epoch of the training, None for its end: the number, or `50 (end)`."""
        if epoch is not None:
            return str(epoch)
        last = self.provenance.epochs
        return "end" if last is None else f"{last} (end)"

    @property
    def title(self) -> str:
        """The model as messages call it."""
        return f"model '{self.name}' version {self.version}"


def preprocessing_notices(manifest: Manifest) -> tuple[Notice, ...]:
    """Return a warning for a model whose preprocessing no file stated."""
    if not manifest.preprocessing_assumed:
        return ()
    message = (
        f"the preprocessing of {manifest.title} is that of its network's definition; its file of weights "
        f"states none. If it is right, set preprocessing_assumed to false in its {MANIFEST}, else correct it "
        "there"
    )
    return (Notice("assumed-preprocessing", message, "model"),)
