"""The model store on disk: a folder NAME/VERSION/ per model, verified before it is loaded."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from zfscope.errors import DamagedModel, InputError, NotFound
from zfscope.images.normalise import Preprocessing, mean_image_shapes
from zfscope.networks.spec import NetworkSpec, convolutional_part, tensor_shapes
from zfscope.results import Notice
from zfscope.store.integrity import (
    check_regular_file,
    damaged_model,
    list_files,
    read_model_file,
    read_verified,
    verify_files,
)
from zfscope.store.manifest import (
    MANIFEST,
    WEIGHTS,
    Label,
    Manifest,
    preprocessing_notices,
)
from zfscope.store.survey import DamagedEntry, is_gone, survey
from zfscope.store.weights import Weights, check_arrays, parse_arrays, unpack_weights
from zfscope.validation import first_fault

if TYPE_CHECKING:
    from zfscope.networks.network import Network

STORE_SETTINGS = "store.json"


class StoreSettings(BaseModel):
    """Contents of `store.json`, the store's own settings.

    default_model: name of the model for requests that name none.
    """

    model_config = ConfigDict(extra="forbid")

    default_model: str


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model. It is immutable: requests share it without locks.

    weights: verified; the network is built on first use. mean_image: float32 (C, H, W) in pixel units,
    read-only; None if the preprocessing subtracts a mean per channel. graph: the ONNX graph of an opaque
    network, which has no weights; None for a list of layers. folder: source folder; None for a
    model that is not from a store. indexes: folder of its indexes; None for the `indexes` subfolder.
    """

    manifest: Manifest
    weights: Weights
    mean_image: NDArray[np.float32] | None = None
    folder: Path | None = None
    indexes: Path | None = None
    graph: bytes | None = None

    @property
    def spec(self) -> NetworkSpec:
        """The network as data; does not import torch."""
        return self.manifest.network

    @property
    def network(self) -> "Network":
        """The network as a torch module: float32, in evaluation mode, without gradients.

        Raises InputError for an opaque network.
        """
        require_layers(self.manifest)
        return self.weights.network

    def network_in(self, precision: str) -> "Network":
        """Return the network in a precision; see `Weights.network_in`. Raises InputError like `network`."""
        require_layers(self.manifest)
        return self.weights.network_in(precision)

    @property
    def name(self) -> str:
        """Name in the store."""
        return self.manifest.name

    @property
    def version(self) -> int:
        """Version, counted from 1."""
        return self.manifest.version

    @property
    def labels(self) -> tuple[Label, ...]:
        """The classes, in the order of the scores."""
        return self.manifest.labels

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """Assumptions made when the model was imported; they are attached to each of its results."""
        return preprocessing_notices(self.manifest)

    @property
    def preprocessing(self) -> Preprocessing:
        """Preprocessing of photos for the network."""
        return self.manifest.preprocessing

    def unit_name(self, layer: str, number: int) -> str:
        """Return how figures name a feature map or, in layers without maps, a unit: `map 3`, `unit 3`."""
        return f"{'map' if self.spec.has_maps(layer) else 'unit'} {number}"

    def class_of(self, layer: str, unit: int) -> str:
        """Return the class name of a unit of the class scores; empty for other layers."""
        return self.labels[unit].name if layer == self.spec.scores and self.labels else ""

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the loaded weights, in hexadecimal."""
        return self.manifest.files[self.manifest.weights_file]

    @property
    def is_opaque(self) -> bool:
        """Whether the network is a graph that runs as a whole and has no `network`."""
        return self.spec.is_opaque


@dataclass(frozen=True)
class StoredModel:
    """A model of a store without its weights. folder, indexes: as in `Model`."""

    manifest: Manifest
    folder: Path
    indexes: Path | None


class ModelStore:
    """A folder of models, read from disk on every call.

    An empty model name stands for the default model; see `default_name`.
    """

    def __init__(self, root: Path, *, indexes: Path | None = None) -> None:
        """Open the store at `root`. Raises NotFound if the folder does not exist.

        indexes: folder of all models' indexes; None for the `indexes` subfolder of each model.
        """
        if not root.is_dir():
            reason = "not a folder" if root.exists() else "no such folder"
            raise NotFound(f"no model store at '{root}': {reason}", field="store")
        self.root = root
        self.indexes = indexes

    def manifests(self) -> tuple[Manifest, ...]:
        """Return all readable manifests, sorted by name and version; see `listing`."""
        return tuple(entry for entry in self.listing() if isinstance(entry, Manifest))

    def listing(self) -> tuple[Manifest | DamagedEntry, ...]:
        """Return all versions of all models, sorted by name and version, including damaged ones.

        Manifests are read; weights are only checked for existence. Their hashes are verified when the model
        is loaded.
        """
        contents = survey(self.root)
        entries = [
            entry
            for name, versions in contents.versions.items()
            for version in versions
            if (entry := self._entry(name, version)) is not None
        ]
        return tuple(sorted((*entries, *contents.faults), key=lambda entry: (entry.name, entry.version)))

    def _entry(self, name: str, version: int) -> Manifest | DamagedEntry | None:
        """Return a listed version; None if it was removed in the meantime."""
        folder = self.root / name / str(version)
        try:
            return _read_usable(folder)
        except DamagedModel as error:
            if is_gone(folder):
                return None
            return DamagedEntry(name, version, error.message.removeprefix(f"{_title(folder)}: "))

    def default_name(self) -> str:
        """Return the name of the default model: the one in `store.json`, else the only usable model.

        Raises NotFound if the store is empty, InputError if it has several models and no default, and
        DamagedModel if `store.json` cannot be read.
        """
        names = sorted(self.versions())
        if not names:
            raise NotFound(f"the model store '{self.root}' has no models", field="store")
        if (self.root / STORE_SETTINGS).exists():
            return _read_settings(self.root).default_model
        names = self._usable(names)
        if len(names) > 1:
            message = f"the store has several models and no default; name one of {', '.join(names)}"
            raise InputError(message, field="model")
        return names[0]

    def _usable(self, names: list[str]) -> list[str]:
        """Return the names of usable models; if all are damaged, the first one (loading it reports why)."""
        if len(names) == 1:
            return names
        usable = {manifest.name for manifest in self.manifests()}
        return [name for name in names if name in usable] or names[:1]

    def manifest(self, name: str = "", version: int | None = None) -> Manifest:
        """Read a manifest; version None means the newest. Raises NotFound and DamagedModel."""
        return self.find(name, version).manifest

    def find(self, name: str = "", version: int | None = None) -> StoredModel:
        """Find a model without reading its weights; arguments and errors are those of `manifest`."""
        folder = self.folder(name, version)
        return StoredModel(_read_manifest(folder), folder, self.indexes)

    def load(self, name: str = "", version: int | None = None) -> Model:
        """Load a model; version None means the newest.

        The weights are verified against the manifest's hash and the network's shapes.
        Raises NotFound if the store lacks the model, DamagedModel if verification fails.
        """
        folder = self.folder(name, version)
        manifest = _read_manifest(folder)
        data = read_verified(folder, manifest.weights_file, manifest.files, title=manifest.title)
        if manifest.graph:
            return Model(manifest, Weights(manifest.network, {}), None, folder, self.indexes, graph=data)
        try:
            weights, mean_image = unpack_weights(data, manifest.network)
        except ValueError as error:
            raise damaged_model(manifest.title, f"'{WEIGHTS}': {error}") from error
        _check_mean_image(manifest, mean_image)
        return Model(manifest, weights, mean_image, folder, self.indexes)

    def load_checkpoint(self, name: str, epoch: int, version: int | None = None) -> Model:
        """Load a model's checkpoint of a training epoch: the layers with feature maps, without classes.

        The network ends before the fully connected layers; the hash of its weights is the checkpoint's.
        Raises NotFound, listing the available epochs, if there is no checkpoint of this epoch; otherwise as
        `load`.
        """
        folder = self.folder(name, version)
        manifest = _read_manifest(folder)
        checkpoint = manifest.checkpoint(epoch)
        data = read_verified(folder, checkpoint.file, manifest.files, title=manifest.title)
        early = manifest.model_copy(
            update={
                "network": convolutional_part(manifest.network),
                "labels": (),
                "accuracy": None,
                "checkpoints": (),
                "files": {WEIGHTS: manifest.files[checkpoint.file]},
            }
        )
        try:
            weights, _ = unpack_weights(data, early.network)
        except ValueError as error:
            raise damaged_model(manifest.title, f"'{checkpoint.file}': {error}") from error
        return Model(early, weights, self._mean_image(manifest), folder, self.indexes)

    def _mean_image(self, manifest: Manifest) -> NDArray[np.float32] | None:
        """Return the mean image, which training does not change: it is stored with the final weights only."""
        if manifest.preprocessing.mean != "image":
            return None
        return self.load(manifest.name, manifest.version).mean_image

    def verify(self, name: str, version: int | None = None) -> Manifest:
        """Check every file of a model, including checkpoints and model card, and load it once.

        Returns the manifest. Raises NotFound and DamagedModel.
        """
        folder = self.folder(name, version)
        model = self.load(name, version)
        manifest = model.manifest
        verify_files(folder, manifest.files, ignored=MANIFEST, title=manifest.title)
        for checkpoint in manifest.checkpoints:
            data = read_verified(folder, checkpoint.file, manifest.files, title=manifest.title)
            try:
                check_arrays(parse_arrays(data), tensor_shapes(manifest.network))
            except ValueError as error:
                raise DamagedModel(f"{manifest.title}: '{checkpoint.file}': {error}") from error
        return manifest

    def versions(self) -> Mapping[str, list[int]]:
        """Return the versions of every model, ascending, usable or not."""
        return survey(self.root).versions

    def stamp(self, name: str, version: int) -> Hashable:
        """Return a value that changes when any file of a model does; only for comparison."""
        folder = self.folder(name, version)
        stats = ((file, (folder / file).stat()) for file in list_files(folder))
        return frozenset((file, stat.st_size, stat.st_mtime_ns) for file, stat in stats)

    def folder(self, name: str, version: int | None = None) -> Path:
        """Return the folder of a model; version None means the newest. Raises NotFound and DamagedModel.

        The name is looked up in the store's listing; a path is never built from a caller's text.
        """
        contents, name = survey(self.root), name or self.default_name()
        versions = contents.versions.get(name, [])
        number = versions[-1] if version is None and versions else version
        if number in versions:
            return self.root / name / str(number)
        fault = contents.fault(name, version)
        if fault:
            raise DamagedModel(f"model '{name}': {fault.reason}")
        if not versions:
            message = f"model '{name}' not found; available: {_join(contents.versions)}"
            raise NotFound(message, field="model")
        message = f"model '{name}' has no version {number}; available: {_join(versions)}"
        raise NotFound(message, field="version")


def require_layers(manifest: Manifest, *, field: str = "model") -> None:
    """Raise InputError, naming the operator in the way, for an opaque network.

    field: request field that names the model.
    """
    if manifest.graph:
        raise InputError(f"{manifest.title} {opaque_reason(manifest)}", field=field)


def opaque_reason(manifest: Manifest) -> str:
    """Return why an opaque network cannot be walked, as the end of a sentence about its model.

    Empty for a list of layers.
    """
    if not manifest.graph:
        return ""
    obstacle = manifest.graph.obstacle
    return f"is an opaque graph, not a list of layers{f' ({obstacle})' if obstacle else ''}"


def _read_settings(root: Path) -> StoreSettings:
    try:
        return StoreSettings.model_validate_json((root / STORE_SETTINGS).read_bytes())
    except (OSError, ValidationError) as error:
        reason = first_fault(error, StoreSettings) if isinstance(error, ValidationError) else error.strerror
        raise DamagedModel(f"the model store '{root}': '{STORE_SETTINGS}': {reason}") from error


def _read_manifest(folder: Path) -> Manifest:
    title = _title(folder)
    try:
        manifest = Manifest.model_validate_json(read_model_file(folder, MANIFEST, title=title))
    except ValidationError as error:
        raise damaged_model(title, f"'{MANIFEST}': {first_fault(error, Manifest)}") from error
    if (manifest.name, str(manifest.version)) != (folder.parent.name, folder.name):
        raise DamagedModel(
            f"{title}: '{MANIFEST}' states {manifest.title}; rename the folder to NAME/VERSION as stated"
        )
    return manifest


def _read_usable(folder: Path) -> Manifest:
    """Read a manifest and check that the weights file exists. Raises DamagedModel."""
    manifest = _read_manifest(folder)
    try:
        check_regular_file(folder, manifest.weights_file)
    except ValueError as error:
        raise damaged_model(manifest.title, str(error)) from error
    return manifest


def _title(folder: Path) -> str:
    return f"model '{folder.parent.name}' version {folder.name}"


def _check_mean_image(manifest: Manifest, mean_image: NDArray[np.float32] | None) -> None:
    stated = manifest.preprocessing.mean == "image"
    if stated != (mean_image is not None):
        mismatch = (
            "the mean image that the preprocessing subtracts is missing"
            if stated
            else "the preprocessing subtracts no mean image, but the file has one"
        )
        raise DamagedModel(f"{manifest.title}: '{WEIGHTS}': {mismatch}")
    shapes = mean_image_shapes(manifest.preprocessing)
    if mean_image is not None and mean_image.shape not in shapes:
        allowed = " or ".join(map(str, shapes))
        raise DamagedModel(
            f"{manifest.title}: '{WEIGHTS}': the mean image has shape {mean_image.shape}; allowed: {allowed}"
        )


def _join(values: object) -> str:
    assert isinstance(values, (Mapping, list))
    return ", ".join(str(value) for value in sorted(values)) or "none"
