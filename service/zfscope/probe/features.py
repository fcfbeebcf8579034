"""Features of the photos of a data set on disk: an array per layer, written in any order by several runs."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from zfscope.datasets import DataSet
from zfscope.datasets.names import as_unicode
from zfscope.errors import InputError
from zfscope.files import LOCK, make_folder, replacing, write_file, writing
from zfscope.parallel import UnusedPhoto
from zfscope.probe.extract import BatchFeatures, Features
from zfscope.probe.journal import Journal
from zfscope.probe.manifest import (
    FEATURE_FOLDER,
    FEATURES,
    ROWS,
    FeatureLayer,
    FeatureManifest,
    FeatureOrigin,
    UnusedFile,
    read_features,
)
from zfscope.scan.manifest import differences

JOURNAL = "photos.jsonl"
ROW_COLUMNS = pa.schema({"path": pa.string(), "class": pa.string(), "features": pa.bool_()})
# Meaning of the column that the tables of an index lack.
MEANINGS = {"features": "Whether the photo has features; if not, its row in every array is 0."}
# Keys of the journal.
_USED, _SKIPPED = "photos", "skipped"


class FeatureFolder:
    """The features in a folder: row i of every array belongs to photo i of the data set.

    A row is written before the journal lists its photo, as a file, since memory that is mapped cannot report
    that the disk is full. Rows of photos without features are zero, and take
    no space on disk where the file system has sparse files.

    known: whether each photo has features or is skipped. skipped: reasons by the number of the photo.
    """

    def __init__(self, folder: Path, origin: FeatureOrigin, data: DataSet) -> None:
        """Open or create the folder. Raises InputError if it has features with other inputs, CannotWrite."""
        self._folder, self._origin, self._data = folder, origin, data
        self.known, self.skipped = np.zeros(len(data), np.bool_), dict[int, str]()
        _claim(folder, origin)
        make_folder(folder / FEATURE_FOLDER)
        for layer in origin.layers:
            self._create(layer)
        self._arrays = {layer.name: _open(self._path(layer)) for layer in origin.layers}
        self._journal = Journal(folder / JOURNAL)
        for entry in self._journal:
            self._note(entry[_USED], (UnusedPhoto(*each) for each in entry[_SKIPPED]))

    def save(self, result: BatchFeatures) -> None:
        """Write the features of some photos. Raises CannotWrite."""
        for layer in self._origin.layers:
            path, array = self._path(layer), self._arrays[layer.name]
            with writing(path), path.open("r+b") as file:
                for rows in _runs(result.photos):
                    file.seek(array.offset + int(result.photos[rows.start]) * array.strides[0])
                    file.write(result.layers[layer.name][rows].tobytes())
        used = result.photos.tolist()
        self._journal.append({_USED: used, _SKIPPED: result.skipped})
        self._note(used, result.skipped)

    def layer(self, name: str) -> Features:
        """Return the array of a layer, (photos of the data set, features), mapped into memory, read-only."""
        return self._arrays[name]

    def write_manifest(self) -> FeatureManifest:
        """Write the list of photos and the manifest. Raises CannotWrite."""
        import pyarrow.parquet as pq

        used = self.known.copy()
        used[[*self.skipped]] = False
        columns = [
            [as_unicode(name) for name in self._data.names],
            [as_unicode(label) for label in self._data.labels],
            used,
        ]
        with replacing(self._folder / ROWS) as file:
            pq.write_table(pa.table(columns, schema=ROW_COLUMNS), file)
        manifest = FeatureManifest(
            origin=self._origin,
            photos=int(used.sum()),
            skipped=tuple(
                UnusedFile(path=as_unicode(self._data.names[number]), reason=reason)
                for number, reason in sorted(self.skipped.items())
            ),
        )
        _write_manifest(self._folder, manifest)
        return manifest

    def _create(self, layer: FeatureLayer) -> None:
        """Create the array of a layer, unless it exists."""
        path, shape = self._path(layer), (len(self._data), layer.features)
        if path.exists() and _open(path).shape == shape:
            return
        header = {"descr": np.dtype(self._origin.dtype).str, "fortran_order": False, "shape": shape}
        with replacing(path) as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + np.dtype(self._origin.dtype).itemsize * shape[0] * shape[1])

    def _path(self, layer: FeatureLayer) -> Path:
        return self._folder / FEATURE_FOLDER / layer.file

    def _note(self, used: Iterable[int], skipped: Iterable[UnusedPhoto]) -> None:
        self.skipped |= dict(skipped)
        self.known[[*used, *self.skipped]] = True


def open_features(folder: Path) -> Mapping[str, Features]:
    """Map the features in a folder of `zfscope probe` into memory, read-only, by layer.

    Each has a row per photo of the data set, in the order of `rows.parquet`. Raises InputError if the
    folder has none.
    """
    layers = read_features(folder).origin.layers
    return {layer.name: _open(folder / FEATURE_FOLDER / layer.file) for layer in layers}


def _open(path: Path) -> "np.memmap[tuple[int, int], np.dtype[np.float16]]":
    try:
        array: np.memmap[tuple[int, int], np.dtype[np.float16]] = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        message = f"'{path}' cannot be read ({error}); remove its folder and repeat the probe"
        raise InputError(message, field="out") from error
    return array


def _runs(photos: NDArray[np.int64]) -> Iterator[slice]:
    """Yield the slices whose photos have consecutive numbers."""
    ends = [*(np.flatnonzero(np.diff(photos) != 1) + 1).tolist(), len(photos)]
    start = 0
    for end in ends:
        if start < end:
            yield slice(start, end)
        start = end


def _claim(folder: Path, origin: FeatureOrigin) -> None:
    """Write the manifest of an empty folder. Raises InputError if the folder holds anything else."""
    if (folder / FEATURES).exists():
        if differing := differences(read_features(folder).origin, origin):
            message = f"'{folder}' holds features that differ in {differing}"
            raise InputError(f"{message}; choose another --out or remove that folder", field="out")
    elif any(path.name != LOCK for path in folder.iterdir()):
        message = f"'{folder}' has other contents than a probe; choose a new or empty folder with --out"
        raise InputError(message, field="out")
    else:
        _write_manifest(folder, FeatureManifest(origin=origin, photos=0, skipped=()))


def _write_manifest(folder: Path, manifest: FeatureManifest) -> None:
    write_file(folder / FEATURES, manifest.model_dump_json(indent=2).encode() + b"\n")
