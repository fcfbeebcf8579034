"""Scanning a batch of photos; independent of the process or machine it runs on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.datasets.dataset import Photo
from zfscope.datasets.read import FILE_FIELD, photo_digest, read_photo
from zfscope.errors import InputError
from zfscope.images.decode import decode
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import MeanImage, Preprocessing, prepare
from zfscope.parallel import Batch, UnusedPhoto
from zfscope.runtimes import MapMaxima, Runtime
from zfscope.scan.batches import BATCH
from zfscope.scan.partial import RECORD, PartialResult, Records, layer_result
from zfscope.scan.plan import ScanPlan
from zfscope.text import one_line


@dataclass(frozen=True, eq=False)
class ScanInput:
    """A photo as network input, float32 (C, H, W) normalised, and the BLAKE2b of its file."""

    pixels: NDArray[np.float32]
    digest: bytes


@dataclass(frozen=True, eq=False)
class Scanner:
    """Scans batches with a runtime and its model's preprocessing. limits: limits of decoding."""

    runtime: Runtime
    plan: ScanPlan
    preprocessing: Preprocessing
    mean_image: MeanImage | None
    limits: DecodeLimits

    def warm_up(self) -> None:
        """Run a blank image, so that a runtime that cannot run fails before the scan starts.

        Required before the scanner is sent to another process: only graphs that have run are pickled.
        """
        self._maxima(np.zeros((1, *self._shape), np.float32))

    def scan(self, batch: Batch) -> PartialResult:
        """Read, prepare and run the photos of a batch. Thread-safe.

        The row of a photo that cannot be used stays zero, as do missing rows of the last batch, so that the
        results of other photos do not depend on it.
        """
        images, records = np.zeros((BATCH, *self._shape), np.float32), np.zeros(BATCH, RECORD)
        faults = dict(self._fill(batch, images, records))
        maxima = self._maxima(images)
        faults |= {row: fault for row, fault in _overflows(maxima) if row not in faults}
        used = [row for row in range(len(batch.photos)) if row not in faults]
        parts = {
            name: layer_result(_rows(layer, used), records[used], top=self.plan.top)
            for name, layer in maxima.items()
        }
        return PartialResult(
            top=self.plan.top,
            batches=1 << batch.number,
            photos=len(used),
            skipped=tuple(
                UnusedPhoto(photo.number, faults[row])
                for row, photo in enumerate(batch.photos)
                if row in faults
            ),
            layers=parts if used else {},
        )

    @property
    def _shape(self) -> tuple[int, int, int]:
        """Shape of a network input: (C, H, W)."""
        return self.preprocessing.channel_count, self.preprocessing.crop, self.preprocessing.crop

    def _maxima(self, images: NDArray[np.float32]) -> Mapping[str, MapMaxima]:
        return self.runtime.map_maxima(images, self.plan.layers, sums=self.plan.sums)

    def _fill(self, batch: Batch, images: NDArray[np.float32], records: Records) -> Iterator[tuple[int, str]]:
        """Write each photo into its row; yield the row of each photo that cannot be used, and the reason."""
        for row, photo in enumerate(batch.photos):
            result = read_input(photo, self.preprocessing, self.mean_image, self.limits)
            if isinstance(result, str):
                yield row, result
                continue
            images[row] = result.pixels
            records["photo"][row], records["digest"][row] = photo.number, result.digest


def _overflows(maxima: Mapping[str, MapMaxima]) -> Iterator[tuple[int, str]]:
    """Yield the rows of photos that overflow float32 in some layer, and so cannot be ranked."""
    for name, layer in maxima.items():
        # A sum is finite only if both terms are.
        numbers = layer.values if layer.sums is None else layer.values + layer.sums
        for row in np.flatnonzero(~np.isfinite(numbers).all(1)):
            yield int(row), f"its activations of layer '{name}' are not finite"


def _rows(layer: MapMaxima, rows: list[int]) -> MapMaxima:
    sums = None if layer.sums is None else layer.sums[rows]
    return MapMaxima(layer.values[rows], layer.indices[rows], sums)


def read_input(
    photo: Photo,
    preprocessing: Preprocessing,
    mean_image: MeanImage | None,
    limits: DecodeLimits | None = None,
) -> ScanInput | str:
    """Read and prepare the centre crop of a photo; return the reason as text if it cannot be used.

    limits: limits of decoding; by default those of the environment.
    """
    try:
        data = read_photo(photo, limits)
        pixels = prepare(
            decode(data, field=FILE_FIELD, limits=limits), preprocessing, mean_image=mean_image
        ).pixels
    except InputError as error:
        return one_line(error.message)
    return ScanInput(pixels[0], photo_digest(data))
