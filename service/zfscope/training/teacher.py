"""A teacher: a model whose class scores and maps another network learns to reproduce."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from zfscope.errors import InputError
from zfscope.images.normalise import normalise_levels, reorder
from zfscope.images.preprocess import Preprocessing
from zfscope.networks.head import layers_of_scores
from zfscope.networks.lookup import layer_names
from zfscope.networks.receptive import receptive_fields
from zfscope.networks.spec import NetworkSpec, shapes
from zfscope.runtimes import Runtime, create_runtime
from zfscope.store import Model
from zfscope.training.recipe import Teaching

# Standard deviation of the initial weights of the teacher's classes.
_HEAD_DEVIATION = 0.01


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a teacher says of a batch.

    scores: its class scores (N, classes); None if they are not learnt. maps: outputs of its matched layers by
    the network's own layers, each (N, maps, rows, columns) or (N, units).
    """

    scores: Tensor | None
    maps: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Teacher:
    """A model that teaches a network.

    runtime: computes its outputs, whose layers have the names of `model.spec`. own: the preprocessing of the
    network's photos. match: the teacher's layer by the network's own layer. scores: whether its class scores
    are learnt. offset: rows and columns by which the teacher sees photos moved up and to the left, so that
    units of matched layers at the same place see the same part of the photo.
    """

    model: Model
    runtime: Runtime
    own: Preprocessing
    match: Mapping[str, str]
    scores: bool
    offset: tuple[int, int] = (0, 0)

    @property
    def classes(self) -> int:
        """Number of class scores that are learnt; 0 if none are."""
        return len(self.model.labels) if self.scores else 0

    @property
    def title(self) -> str:
        """Name, version and hash of the teacher."""
        return f"{self.model.name}:{self.model.version}, weights SHA-256 {self.model.weights_sha256}"

    def lesson(self, photos: Tensor) -> Lesson:
        """Return the teacher's outputs for a batch, (N, C, H, W) as preprocessed for the network.

        The teacher sees the same crops, resized to its own input size.
        """
        last = self.model.spec.scores
        layers = {*self.match.values(), *([last] if self.scores else [])}
        outputs = self.runtime.outputs(self._as_read(photos), sorted(layers))
        tensors = {name: torch.from_numpy(array).to(photos.device) for name, array in outputs.items()}
        return Lesson(
            tensors[last] if self.scores else None,
            {own: tensors[theirs] for own, theirs in self.match.items()},
        )

    def _as_read(self, photos: Tensor) -> NDArray[np.float32]:
        """Return photos that were preprocessed for the network as preprocessed for the teacher."""
        assert self.own.mean != "image"  # see `check_teacher`
        mean, std = (photos.new_tensor(each).view(-1, 1, 1) for each in (self.own.mean, self.own.std))
        levels = _moved(_resized(photos * std + mean, (self.model.preprocessing.crop,) * 2), self.offset)
        rgb = reorder(levels.contiguous().cpu().numpy(), self.own)
        return normalise_levels(rgb, self.model.preprocessing, self.model.mean_image)


class TeacherHead(nn.Module):
    """The teacher's class scores as computed from the network's last features; part of a run only."""

    def __init__(self, spec: NetworkSpec, classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.features = features_of_scores(spec)
        self.weight = nn.Parameter(torch.empty(classes, shapes(spec)[self.features][0]))
        self.bias = nn.Parameter(torch.zeros(classes))
        nn.init.normal_(self.weight, 0, _HEAD_DEVIATION, generator=generator)

    def forward(self, features: Tensor) -> Tensor:
        """Return scores (N, classes) for features (N, units), or the means of maps (N, maps, H, W)."""
        vectors = features.mean((2, 3)) if features.dim() == 4 else features
        return F.linear(vectors.to(self.weight.dtype), self.weight, self.bias)


def features_of_scores(spec: NetworkSpec) -> str:
    """Return the layer that the layer of the class scores reads."""
    return spec.sources[layers_of_scores(spec)[0].name][0]


def new_teacher(
    model: Model, teaching: Teaching, network: NetworkSpec, own: Preprocessing, *, device: str
) -> Teacher:
    """Return the teacher of a network whose photos have the preprocessing `own`.

    Raises InputError or NotFound if the network cannot learn from the model, RuntimeUnavailable for a device
    that is not available.
    """
    field = "recipe.teaching.match"
    names = layer_names(network, tuple(teaching.match), field=field)
    theirs = [model.spec.layer(name, field=field).name for name in teaching.match.values()]
    match = dict(zip(names, theirs, strict=True)) if teaching.maps else {}
    teacher = Teacher(
        model,
        create_runtime("onnx" if device == "cpu" else "torch", model, device=device),
        own,
        match,
        scores=bool(model.labels and teaching.scores),
        offset=centre_offset(network, model.spec, match),
    )
    check_teacher(teacher, network)
    return teacher


def centre_offset(network: NetworkSpec, teacher: NetworkSpec, match: Mapping[str, str]) -> tuple[int, int]:
    """Return how far the fields of matched units lie below and to the right of the teacher's.

    In the teacher's pixels, rows and columns: the median over the matched layers of the distance between the
    centres of the receptive fields of the first units. Layers whose units are not equally far apart in both
    networks do not count; without any that do, the offset is 0.
    """
    scale = teacher.input_size / network.input_size
    own, theirs = receptive_fields(network), receptive_fields(teacher)
    fields = [(own[one], theirs[other]) for one, other in match.items()]
    offsets = [
        [
            a.centre * scale - b.centre
            for a, b in zip((one.rows, one.columns), (two.rows, two.columns), strict=True)
        ]
        for one, two in fields
        if (one.rows.jump * scale, one.columns.jump * scale) == (two.rows.jump, two.columns.jump)
    ]
    if not offsets:
        return 0, 0
    down, right = np.median(offsets, axis=0).round().astype(int).tolist()
    return down, right


def check_teacher(teacher: Teacher, network: NetworkSpec) -> None:
    """Raise InputError or NotFound unless a network can learn from a teacher."""
    name = f"{teacher.model.name}:{teacher.model.version}"
    if not teacher.scores and not teacher.match:
        message = (
            f"nothing to learn from '{name}': it has no class scores, or the recipe's teaching.scores is 0, "
            "and teaching.match names no layers"
        )
        raise InputError(f"{message}; choose another teacher or recipe", field="teacher")
    if teacher.own.mean == "image":
        message = "a recipe that subtracts a mean image cannot be combined with a teacher"
        raise InputError(f'{message}; use one with mean = "channels"', field="teacher")
    if teacher.own.channel_count != teacher.model.spec.input_channels:
        message = f"'{name}' reads {teacher.model.spec.input_channels} channels, the network"
        raise InputError(f"{message} {teacher.own.channel_count}; choose another teacher", field="teacher")
    own_shapes, shapes_of_teacher = shapes(network), shapes(teacher.model.spec)
    for own, theirs in teacher.match.items():
        one, other = own_shapes[own], shapes_of_teacher[theirs]
        if len(one) != len(other) or one[0] < other[0]:
            raise InputError(
                f"teaching.match: '{own}' has the shape {one}, but '{theirs}' of '{name}' has {other}; the "
                "own layer needs at least as many maps",
                field="recipe.teaching.match",
            )


def scores_loss(own: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy of class scores (N, classes) with the teacher's, both divided by temperature.

    It is multiplied by the square of the temperature, so that gradients keep their size (Hinton et al. 2015).
    """
    return F.cross_entropy(own / temperature, (taught / temperature).softmax(1)) * temperature**2


def unexplained(own: Tensor, taught: Tensor) -> Tensor:
    """Return the share of the variance of the teacher's maps that the own maps do not explain; 0 if equal.

    own: (N, at least as many maps, rows, columns), or (N, units). taught: (N, maps, rows, columns), resized
    to the rows and columns of the own maps; or (N, units). The variance is about the mean of each map.
    """
    taught = _resized(taught, own.shape[2:]) if taught.dim() == 4 else taught
    places = (0, *range(2, taught.dim()))
    variance = (taught - taught.mean(places, keepdim=True)).square().mean()
    error = (own[:, : taught.shape[1]] - taught).square().mean()
    return error / variance.clamp(min=torch.finfo(variance.dtype).tiny)


def teaching_loss(
    outputs: Mapping[str, Tensor], lesson: Lesson, head: TeacherHead | None, teaching: Teaching
) -> Tensor:
    """Return the weighted loss of what is learnt from the teacher. outputs: of the network, by layer."""
    losses = []
    if lesson.maps:
        parts = [unexplained(outputs[own].float(), taught) for own, taught in lesson.maps.items()]
        losses.append(teaching.maps * torch.stack(parts).mean())
    if head is not None and lesson.scores is not None:
        own = head(outputs[head.features])
        losses.append(teaching.scores * scores_loss(own, lesson.scores, teaching.temperature))
    return torch.stack(losses).sum()


def _moved(photos: Tensor, offset: tuple[int, int]) -> Tensor:
    """Move photos (N, C, H, W) up and to the left; pixels at the edge are repeated."""
    rows, columns = (
        (torch.arange(size, device=photos.device) + by).clamp(0, size - 1)
        for size, by in zip(photos.shape[2:], offset, strict=True)
    )
    return photos[:, :, rows[:, None], columns]


def _resized(x: Tensor, size: tuple[int, ...]) -> Tensor:
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True)
