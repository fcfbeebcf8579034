"""A training session: from an image folder to a run, and from a finished run to a model of the store."""

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from zfscope.errors import InputError, NotFound
from zfscope.files import make_folder, write_file
from zfscope.images.curves import plot_history
from zfscope.images.preprocess import MeanImage, Preprocessing
from zfscope.networks import NETWORKS
from zfscope.networks.network import Network, initialise
from zfscope.networks.shapes import shapes
from zfscope.networks.spec import NetworkSpec
from zfscope.store import Accuracy as StoredAccuracy
from zfscope.store import Label, Manifest, Model, Provenance, write_model
from zfscope.store.manifest import NAME_PATTERN
from zfscope.store.weights import pack_weights, unpack_weights
from zfscope.training.batches import Batches
from zfscope.training.card import model_card
from zfscope.training.evaluate import Accuracy, evaluate
from zfscope.training.photos import PhotoFolder, Pixels, cached_squares, mean_image, read_folder
from zfscope.training.recipe import Recipe, load_recipe
from zfscope.training.run import TrainingRun, Watch

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Settings:
    """What to train, on what, and how.

    validation: a second image folder, whose accuracy is measured after every epoch. classes: None
    takes the folders as they are, a number has to be theirs. hidden: the width of fc6 and fc7.
    checkpoints: epochs after which the conv layers are kept; the last always is. labels: names of the
    classes for people, by folder.
    """

    data: Path
    out: Path
    name: str
    validation: Path | None = None
    network: str = "zfnet"
    classes: int | None = None
    hidden: int = 4096
    recipe: str = "modern"
    epochs: int = 60
    checkpoints: tuple[int, ...] = (1, 2, 5, 10, 20)
    seed: int = 0
    device: str = "cpu"
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Validation:
    """Photos that the network is not trained on."""

    squares: Pixels
    folder: PhotoFolder


class Session:
    """A run with its photos decoded; `train` it, then `publish` it."""

    def __init__(self, settings: Settings, *, advance: Advance = lambda photos: None) -> None:
        """Read the folders, decode what is not yet decoded, and resume the run if there is one.

        advance: told the number of photos decoded. Raises InputError and NotFound for settings that
        cannot be used.
        """
        check_settings(settings)
        self.settings = settings
        self.recipe = load_recipe(settings.recipe)
        self.photos = read_folder(settings.data)
        _check_classes(self.photos, settings.classes)
        _check_phases(self.recipe, self._spec)
        held_out = _read_validation(settings.validation, self.photos)
        make_folder(settings.out)
        self.preprocessing = _preprocessing(self.recipe)
        squares = self._squares(self.photos, "training.pixels", advance)
        self.mean_image: MeanImage | None = mean_image(squares) if self.recipe.mean == "image" else None
        self.validation = (
            Validation(self._squares(held_out, "validation.pixels", advance), held_out) if held_out else None
        )
        self.run = TrainingRun(settings.out, self._network(), self._batches(squares), settings.epochs)
        self.resumed = self.run.resume()

    @property
    def decoded(self) -> int:
        """How many photos there are in all."""
        return len(self.photos.files) + (len(self.validation.folder.files) if self.validation else 0)

    def train(self, watch: Watch) -> None:
        """Train to the last epoch; see `TrainingRun.run`."""
        validate = self._validate if self.validation else None
        self.run.run(checkpoints=frozenset(self.settings.checkpoints), validate=validate, watch=watch)
        picture = plot_history(self.run.progress.history)
        write_file(self.settings.out / "history.png", picture)

    def publish(self, store: Path) -> Path:
        """Write the trained network as a model of a store and give its folder.

        Raises InputError where that model is there already.
        """
        out, history = self.settings.out, self.run.progress.history
        kept = {_epoch(path): path for path in (out / "checkpoints").glob("epoch-*.safetensors")}
        # What is measured is what will be read: weights in half precision.
        stored, _ = unpack_weights(pack_weights(self.run.network), self.run.network.spec)
        manifest = self._manifest(stored.to(self.settings.device))
        return write_model(
            store,
            manifest,
            self.run.network,
            checkpoints=kept,
            extra_files={
                "history.json": (out / "history.json").read_bytes(),
                "history.png": plot_history(history),
                "README.md": model_card(manifest, history, sorted(kept)).encode(),
            },
            mean_image=self.mean_image,
        )

    def _manifest(self, network: Network) -> Manifest:
        settings, names = self.settings, self.settings.labels or {}
        return Manifest(
            name=settings.name,
            version=1,
            summary=f"{settings.network}, trained on {len(self.photos.files):,} photos",
            network=network.spec,
            preprocessing=self.preprocessing,
            labels=tuple(Label(id=name, name=names.get(name, name)) for name in self.photos.classes),
            accuracy=self._accuracy(network),
            provenance=Provenance(
                source="zfscope train",
                data=_title(settings.data),
                recipe=settings.recipe,
                epochs=settings.epochs,
                date=datetime.datetime.now(datetime.UTC).date(),
            ),
        )

    def _accuracy(self, network: Network) -> StoredAccuracy | None:
        if self.validation is None:
            return None
        one = self._measure(network)
        ten = self._measure(network, ten_crop=True)
        return StoredAccuracy(
            top1=one.top1,
            top5=one.top5,
            images=one.images,
            data=_title(self.validation.folder.root),
            ten_crop_top1=ten.top1,
            ten_crop_top5=ten.top5,
        )

    def _validate(self, size: int) -> Accuracy:
        return self._measure(self.run.network, size=size)

    def _measure(self, network: Network, *, size: int | None = None, ten_crop: bool = False) -> Accuracy:
        assert self.validation is not None
        return evaluate(
            network,
            self.validation.squares,
            self.validation.folder.targets,
            self.preprocessing,
            mean_image=self.mean_image,
            ten_crop=ten_crop,
            size=size,
        )

    def _squares(self, photos: PhotoFolder, cache: str, advance: Advance) -> Pixels:
        return cached_squares(photos, self.preprocessing, self.settings.out / cache, advance=advance)

    def _batches(self, squares: Pixels) -> Batches:
        return Batches(
            squares,
            self.photos.targets,
            self.preprocessing,
            self.recipe,
            self.settings.seed,
            self.mean_image,
        )

    @property
    def _spec(self) -> NetworkSpec:
        settings = self.settings
        return NETWORKS[settings.network](classes=len(self.photos.classes), hidden=settings.hidden)

    def _network(self) -> Network:
        network = Network(self._spec)
        generator = torch.Generator().manual_seed(self.settings.seed)
        initialise(network, self.recipe.initial_deviation, generator=generator)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its stub lacks it
        return network.to(self.settings.device)


def evaluate_model(
    model: Model, data: Path, *, ten_crop: bool, cache: Path, advance: Advance = lambda photos: None
) -> Accuracy:
    """Measure a stored model on an image folder whose folders are among its label ids.

    cache: a folder for the decoded photos. advance: told the photos decoded, then those classified.
    Raises InputError for a folder that does not fit the model, and for a model without classes.
    """
    if not model.labels:
        raise InputError(f"{model.manifest.title} has no classes to be right about", field="model")
    photos = read_folder(data, [label.id for label in model.labels])
    squares = cached_squares(photos, model.preprocessing, cache / "evaluation.pixels", advance=advance)
    return evaluate(
        model.network,
        np.asarray(squares),
        photos.targets,
        model.preprocessing,
        mean_image=model.mean_image,
        ten_crop=ten_crop,
        advance=advance,
    )


def check_settings(settings: Settings) -> None:
    """Raise InputError or NotFound for the first setting that cannot be used."""
    if settings.network not in NETWORKS:
        raise NotFound(f"no network '{settings.network}'; there are {', '.join(NETWORKS)}", field="network")
    if not re.fullmatch(NAME_PATTERN, settings.name):
        raise InputError(f"name '{settings.name}' must match {NAME_PATTERN}", field="name")
    if settings.epochs < 1 or settings.hidden < 1:
        raise InputError(
            f"epochs = {settings.epochs}, hidden = {settings.hidden}; both are at least 1", field="epochs"
        )
    beyond = [epoch for epoch in settings.checkpoints if epoch < 1]
    if beyond:
        raise InputError(f"checkpoints name epoch {beyond[0]}; epochs count from 1", field="checkpoints")


def _epoch(checkpoint: Path) -> int:
    return int(checkpoint.stem.removeprefix("epoch-"))


def _title(folder: Path) -> str:
    """Name a folder of photos by itself and the one that it is in: imagenette/train."""
    return "/".join(folder.resolve().parts[-2:])


def _check_classes(photos: PhotoFolder, wanted: int | None) -> None:
    if wanted is not None and wanted != len(photos.classes):
        raise InputError(
            f"'{photos.root}' has {len(photos.classes)} classes, {wanted} were asked for", field="classes"
        )


def _check_phases(recipe: Recipe, spec: NetworkSpec) -> None:
    for phase in recipe.phases:
        try:
            shapes(spec, input_size=phase.size)
        except ValueError as error:
            raise InputError(
                f"photos of {phase.size} pixels are too small: {error}", field="recipe"
            ) from error


def _read_validation(folder: Path | None, photos: PhotoFolder) -> PhotoFolder | None:
    return None if folder is None else read_folder(folder, photos.classes)


def _preprocessing(recipe: Recipe) -> Preprocessing:
    if recipe.mean == "image":
        return Preprocessing(mean="image")
    return Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD)
