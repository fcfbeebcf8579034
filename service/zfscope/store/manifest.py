"""The manifest of a stored model, `model.json`: everything about it except the weights."""

import datetime
import re
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

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
from zfscope.networks.spec import NetworkSpec, parameter_count, shapes
from zfscope.results import Notice

MANIFEST = "model.json"
WEIGHTS = "weights.safetensors"
# The graph of an opaque network, with its weights.
GRAPH = "graph.onnx"
# Version that is written; version 1 has no interpolation (bilinear) and only networks of three channels.
FORMAT_VERSION: Literal[2] = 2
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_FILE_PART = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")

Percent = Annotated[float, Field(ge=0, le=100)]


def validate_file_name(name: str) -> str:
    """Return the relative path of a file in a version's folder, if it is safe; raise ValueError otherwise.

    Allowed: parts of letters, digits, `_`, `-` and `.` (not first), joined by `/`.
    """
    if not all(_FILE_PART.fullmatch(part) for part in name.split("/")):
        raise ValueError(
            f"file name '{name}' must be a relative path of letters, digits, '_', '-', '.' and '/'"
        )
    return name


File = Annotated[str, AfterValidator(validate_file_name)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# SHA-256 in hexadecimal of each file, by file name; read-only.
Hashes = Annotated[
    Mapping[File, Sha256], AfterValidator(MappingProxyType), PlainSerializer(dict, return_type=dict)
]


class _ManifestPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Label(_ManifestPart):
    """A class: a stable id (WordNet synset, folder name) and a human-readable name."""

    id: str = Field(min_length=1)
    name: str = Field(min_length=1)


class RecordedAccuracy(_ManifestPart):
    """Accuracy in percent, measured on `images` photos of the data set `data`.

    trained_on: number of these photos that are also training photos, by file hash; None if not checked.
    """

    top1: Percent
    top5: Percent
    images: PositiveInt
    data: str
    ten_crop_top1: Percent | None = None
    ten_crop_top5: Percent | None = None
    trained_on: NonNegativeInt | None = None


class Provenance(_ManifestPart):
    """Origin of the weights; unknown fields are empty.

    source: where the weights come from. data, data_licence: photos of the training and their licence. recipe:
    name of the recipe. epochs: number of epochs. date: day on which the weights were made. licence: of the
    weights. tuned_from: name, version and hash of the weights of the model that training started from.
    taught_by: the same of a model whose scores or maps were learnt.
    """

    source: str
    tuned_from: str = ""
    taught_by: str = ""
    data: str = ""
    data_licence: str = ""
    recipe: str = ""
    epochs: NonNegativeInt | None = None
    date: datetime.date | None = None
    licence: str = ""


class Checkpoint(_ManifestPart):
    """The convolutional layers after an epoch of training. file: path relative to the manifest."""

    epoch: NonNegativeInt
    file: File


class OpaqueGraph(_ManifestPart):
    """How the graph of an opaque network runs, in the file `graph.onnx`.

    input: name of its input. channels_last: whether that has the axes (N, rows, columns, channels). batches:
    whether it accepts any number of images at once; otherwise it runs one by one. parameters: number of
    weights. obstacle: why the graph cannot be read as a list of layers, naming the operator; empty if it can.
    """

    input: str
    channels_last: bool = False
    batches: bool = True
    parameters: NonNegativeInt
    obstacle: str = ""


class Manifest(_ManifestPart):
    """A model as data: network, preprocessing, labels, accuracy, provenance and the hash of every file.

    version: 1 or more; a higher number is newer. summary: one line for lists of models. accuracy: None if it
    was not measured. checkpoints: weights kept during training.
    labels: `labels[i]` is the class of unit i of the last layer; empty for a network that ends in feature
    maps, whose layers can be inspected but which does not classify. preprocessing_assumed: whether the
    preprocessing is the definition's default because the file of weights states none. files: empty only
    until the model is written. graph: of an opaque network; None for a list of layers.

    Raises `pydantic.ValidationError` if the layers do not fit together, the labels are not one per class
    score, or a file name could point outside the model's folder.
    """

    format_version: Literal[1, 2] = FORMAT_VERSION
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
    graph: OpaqueGraph | None = None
    files: Hashes = Field(default_factory=lambda: MappingProxyType({}))

    @model_validator(mode="after")
    def _labels_fit_the_network(self) -> "Manifest":
        last = self.network.scores
        scores = shapes(self.network)[last]
        if self.network.has_maps(last) and not self.labels:
            return self
        if scores != (len(self.labels),):
            raise ValueError(
                f"{len(self.labels)} labels for layer '{last}' of shape {scores}; expected one per class"
            )
        (label, count), *_ = Counter(label.id for label in self.labels).most_common(1)
        if count > 1:
            raise ValueError(f"label id '{label}' occurs {count} times; ids must be unique")
        return self

    @model_validator(mode="after")
    def _graph_fits_the_network(self) -> "Manifest":
        if self.network.is_opaque != (self.graph is not None):
            raise ValueError("a network of tensors needs 'graph', and a list of layers must not have it")
        return self

    @model_validator(mode="after")
    def _photos_fit_the_network(self) -> "Manifest":
        channels, steps = self.network.input_channels, self.preprocessing
        if channels != steps.channel_count:
            raise ValueError(
                f"the network's input_channels is {channels}, but the preprocessing's channels are "
                f"'{steps.channels}'; allowed: 3 with RGB or BGR, 1 with grey"
            )
        if self.network.input_size != self.preprocessing.crop:
            raise ValueError(
                f"the network's input_size is {self.network.input_size} pixels and the preprocessing's crop "
                f"is {self.preprocessing.crop}; they must be equal"
            )
        return self

    def checkpoint(self, epoch: int) -> Checkpoint:
        """Return the checkpoint of an epoch. Raises NotFound, listing the available epochs."""
        for checkpoint in self.checkpoints:
            if checkpoint.epoch == epoch:
                return checkpoint
        kept = ", ".join(str(checkpoint.epoch) for checkpoint in self.checkpoints)
        message = f"{self.title} has no checkpoint of epoch {epoch}; available: {kept or 'none'}"
        raise NotFound(message, field="checkpoint")

    @property
    def weights_file(self) -> str:
        """Name of the file with the weights: safetensors, or the graph of an opaque network."""
        return GRAPH if self.graph else WEIGHTS

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return self.graph.parameters if self.graph else parameter_count(self.network)

    @property
    def early_epochs(self) -> tuple[int, ...]:
        """Epochs of the checkpoints, ascending, without the last epoch: that is the model itself."""
        last = self.provenance.epochs
        return tuple(sorted(kept.epoch for kept in self.checkpoints if kept.epoch != last))

    def epoch_label(self, epoch: int | None) -> str:
        """Return how figures label an epoch: by its number, and None (end of training) as `50 (end)`."""
        if epoch is not None:
            return str(epoch)
        last = self.provenance.epochs
        return "end" if last is None else f"{last} (end)"

    def __reduce__(self) -> tuple[Callable[[str], Self], tuple[str]]:
        """Pickle the JSON: the read-only mapping of files cannot be pickled."""
        return type(self).model_validate_json, (self.model_dump_json(),)

    @property
    def title(self) -> str:
        """Name and version, for messages."""
        return f"model '{self.name}' version {self.version}"


def preprocessing_notices(manifest: Manifest) -> tuple[Notice, ...]:
    """Return a warning if the preprocessing of a model was assumed when it was imported."""
    if not manifest.preprocessing_assumed:
        return ()
    message = (
        f"the preprocessing of {manifest.title} is an assumption, since none was stated when it was "
        f"imported; if it is right, set preprocessing_assumed to false in its {MANIFEST}; otherwise import "
        "the model again with --preprocessing"
    )
    return (Notice("assumed-preprocessing", message, "model"),)
