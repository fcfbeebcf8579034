"""The work of a scan: a batch of photos in, what was found in it out. It may be done anywhere."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.datasets.dataset import Photo
from zfscope.datasets.read import FIELD, digest_of, read_photo
from zfscope.errors import InputError
from zfscope.images.decode import decode
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import MeanImage, Preprocessing, prepare
from zfscope.runtimes import MapMaxima, Runtime
from zfscope.scan.batches import BATCH, ScanBatch
from zfscope.scan.partial import RECORD, PartialResult, Records, SkippedIndex, layer_result
from zfscope.scan.plan import ScanPlan


@dataclass(frozen=True, eq=False)
class ScanInput:
    """The network's input for a photo: float32 (3, H, W), normalised; and the BLAKE2b of its file."""

    pixels: NDArray[np.float32]
    digest: bytes


@dataclass(frozen=True, eq=False)
class Scanner:
    """What batches are scanned with: a runtime and the preprocessing of its model. limits: of photos."""

    runtime: Runtime
    plan: ScanPlan
    preprocessing: Preprocessing
    mean_image: MeanImage | None
    limits: DecodeLimits

    def warm_up(self) -> None:
        """Run a blank image, so that what the runtime lacks ends the scan at its start.

        A scanner has to be warm before it is sent to another process: a runtime sends the graphs that it ran.
        """
        side = self.preprocessing.crop
        self._maxima(np.zeros((1, 3, side, side), np.float32))

    def scan(self, batch: ScanBatch) -> PartialResult:
        """Read, prepare and run the photos of a batch. Many threads may do so at once.

        A photo that cannot be used leaves its place in the batch empty, as the last batch's missing ones
        do: what is found in the others does not depend on it.
        """
        side = self.preprocessing.crop
        images, records = np.zeros((BATCH, 3, side, side), np.float32), np.zeros(BATCH, RECORD)
        faults = dict(self._fill(batch, images, records))
        found = self._maxima(images)
        faults |= {row: fault for row, fault in _overflows(found) if row not in faults}
        used = [row for row in range(len(batch.photos)) if row not in faults]
        parts = {
            name: layer_result(_rows(layer, used), records[used], top=self.plan.top)
            for name, layer in found.items()
        }
        return PartialResult(
            top=self.plan.top,
            batches=1 << batch.number,
            photos=len(used),
            skipped=tuple(
                SkippedIndex(photo.number, faults[row])
                for row, photo in enumerate(batch.photos)
                if row in faults
            ),
            layers=parts if used else {},
        )

    def _maxima(self, images: NDArray[np.float32]) -> Mapping[str, MapMaxima]:
        return self.runtime.map_maxima(images, self.plan.layers, sums=self.plan.sums)

    def _fill(
        self, batch: ScanBatch, images: NDArray[np.float32], records: Records
    ) -> Iterator[tuple[int, str]]:
        """Put photos into their places; give the place of each that cannot be used, and the reason."""
        for row, photo in enumerate(batch.photos):
            sight = read_input(photo, self.preprocessing, self.mean_image, self.limits)
            if isinstance(sight, str):
                yield row, sight
                continue
            images[row] = sight.pixels
            records["photo"][row], records["digest"][row] = photo.number, sight.digest


def _overflows(found: Mapping[str, MapMaxima]) -> Iterator[tuple[int, str]]:
    """Give the rows of photos that overflow float32 in some layer, which no rank can be made of."""
    for name, layer in found.items():
        numbers = layer.values if layer.sums is None else layer.values + layer.sums
        for row in np.flatnonzero(~np.isfinite(numbers).all(1)):
            yield int(row), f"its activations of layer '{name}' are no finite numbers"


def _rows(layer: MapMaxima, rows: list[int]) -> MapMaxima:
    sums = None if layer.sums is None else layer.sums[rows]
    return MapMaxima(layer.values[rows], layer.places[rows], sums)


def read_input(
    photo: Photo,
    preprocessing: Preprocessing,
    mean_image: MeanImage | None,
    limits: DecodeLimits | None = None,
) -> ScanInput | str:
    """Read and prepare the centre crop of a photo; return the reason, in words, where it cannot be used.

    limits: those of the environment unless given.
    """
    try:
        data = read_photo(photo, limits)
        pixels = prepare(
            decode(data, field=FIELD, limits=limits), preprocessing, mean_image=mean_image
        ).pixels
    except InputError as error:
        return " ".join(error.message.split())
    return ScanInput(pixels[0], digest_of(data))
