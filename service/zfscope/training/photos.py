"""An image folder as training data: decoded once into a file of pixels, then cropped at random."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zfscope.errors import InputError
from zfscope.images.decode import decode
from zfscope.images.formats import photo_suffixes
from zfscope.images.preprocess import Preprocessing, centre_square
from zfscope.processors import usable_cpus

Pixels = NDArray[np.uint8]
Value = TypeVar("Value", np.uint8, np.float32)


@dataclass(frozen=True)
class PhotoFolder:
    """Photos in folders named by class. `files` and `targets` (class numbers) run side by side."""

    root: Path
    classes: tuple[str, ...]
    files: tuple[Path, ...]
    targets: NDArray[np.int64]


def read_folder(root: Path, classes: Sequence[str] | None = None) -> PhotoFolder:
    """List the photos of ROOT/CLASS/..., classes in alphabetical order unless they are given.

    Raises InputError where there is no such folder, fewer than two classes, an unknown class, or
    a class without photos.
    """
    if not root.is_dir():
        raise InputError(f"no folder '{root}'; it should hold one folder of photos per class", field="data")
    found = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    names = tuple(classes or found)
    strange = sorted(set(found) - set(names))
    if len(names) < 2 or not found or strange:
        wanted = f"folders among {', '.join(names)}" if strange else "at least two folders, one per class"
        raise InputError(f"'{root}' has the folders {strange or found}; expected {wanted}", field="data")
    listed = {name: _photos(root / name) for name in names if name in found}
    for name, photos in listed.items():
        if not photos:
            kinds = ", ".join(sorted(photo_suffixes()))
            raise InputError(f"'{root / name}' holds no photos ({kinds})", field="data")
    targets = [number for number, name in enumerate(names) for _ in listed.get(name, [])]
    files = tuple(path for photos in listed.values() for path in photos)
    return PhotoFolder(root, names, files, np.array(targets, np.int64))


def _photos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in photo_suffixes())


def decode_squares(photos: PhotoFolder, preprocessing: Preprocessing) -> Iterator[Pixels]:
    """Decode every photo to the centre square that crops are taken from: (256, 256, 3) in the paper."""

    def square(path: Path) -> Pixels:
        return centre_square(decode(path.read_bytes(), field=str(path)), preprocessing)

    with ThreadPoolExecutor(usable_cpus()) as pool:
        yield from pool.map(square, photos.files)


def cached_squares(
    photos: PhotoFolder,
    preprocessing: Preprocessing,
    cache: Path,
    *,
    advance: Callable[[int], None] = lambda photos: None,
) -> Pixels:
    """Give all centre squares, (photos, 256, 256, 3), from a file of pixels that is written once.

    It takes 196 kB a photo at 256 pixels. advance: told the number of photos decoded.
    """
    side = preprocessing.centre
    shape = (len(photos.files), side, side, 3)
    identity = {"root": str(photos.root.resolve()), "shape": list(shape), "short": preprocessing.short_side}
    note = cache.with_suffix(".json")
    if not (note.exists() and cache.exists() and json.loads(note.read_text()) == identity):
        note.unlink(missing_ok=True)
        pixels = np.memmap(cache, np.uint8, "w+", shape=shape)
        for place, square in enumerate(decode_squares(photos, preprocessing)):
            pixels[place] = square
            advance(1)
        pixels.flush()
        note.write_text(json.dumps(identity))
    return np.memmap(cache, np.uint8, "r", shape=shape)


def mean_image(squares: Pixels) -> NDArray[np.float32]:
    """Give the mean of all squares (photos, side, side, 3), float32 (3, side, side), as in Sec 3."""
    total = np.zeros(squares.shape[1:], np.float64)
    for square in squares:
        total += square
    return np.ascontiguousarray((total / len(squares)).astype(np.float32).transpose(2, 0, 1))


def random_crop(
    square: Pixels, size: int, area: tuple[float, float], generator: np.random.Generator
) -> Pixels:
    """Cut a random square with a share of the `area` in a range, resize it to `size` pixels, mirror half."""
    whole = square.shape[0]
    side = whole * np.sqrt(generator.uniform(*area))
    x, y = generator.uniform(0, whole - side, size=2)
    return _mirrored(_resized(square, (x, y, x + side, y + side), size), generator)


def ten_crop(square: NDArray[np.float32], crop: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Cut one of the paper's ten crops (Sec 3) at random: a corner or the centre, mirrored or not."""
    x, y = crop_corners(square.shape[0], crop)[generator.integers(5)]
    return _mirrored(square[y : y + crop, x : x + crop], generator)


def crop_corners(side: int, crop: int) -> tuple[tuple[int, int], ...]:
    """Give x and y of the four corner crops of a square, and of the centre one."""
    far = side - crop
    return (0, 0), (far, 0), (0, far), (far, far), (far // 2, far // 2)


def _resized(square: Pixels, box: tuple[float, float, float, float], size: int) -> Pixels:
    photo = Image.fromarray(square)
    return np.asarray(photo.resize((size, size), Image.Resampling.BILINEAR, box=box))


def _mirrored(photo: NDArray[Value], generator: np.random.Generator) -> NDArray[Value]:
    return photo[:, ::-1] if generator.random() < 0.5 else photo
