"""Sample photos: those of a folder, or of installed packages that bring some."""

from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from zfscope.images.formats import photo_suffixes

# Photos in packages, as (package, path inside it); the packages are not imported.
_PACKAGED = (("sklearn", "datasets/images/china.jpg"), ("skimage", "data/chelsea.png"))
_MAX_SAMPLES = 100


@lru_cache(maxsize=1)
def find_samples(folder: Path | None) -> Mapping[str, Path]:
    """Return the sample photos by file name. folder: None for those of installed packages."""
    paths = sorted(folder.iterdir()) if folder and folder.is_dir() else [] if folder else _packaged()
    known = [path for path in paths if path.suffix.lower() in photo_suffixes() and path.is_file()]
    return {path.name: path for path in known[:_MAX_SAMPLES]}


def _packaged() -> list[Path]:
    places = []
    for package, path in _PACKAGED:
        spec = find_spec(package)
        if spec and spec.origin:
            places.append(Path(spec.origin).parent / path)
    return places
