"""The state of an unfinished scan on disk, in one file that a kill leaves old or new."""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from pydantic import BaseModel, ConfigDict

from zfscope.errors import InputError
from zfscope.files import replacing
from zfscope.scan.manifest import Origin, differences
from zfscope.scan.partial import LayerResult, PartialResult, SkippedIndex

_ABOUT = "about"
_WAYS_OUT = "give the same options to go on with it, another --name, or remove that folder"


class _StateHeader(BaseModel):
    """All of a partial result but its arrays. batches: in hexadecimal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: Origin
    batches: str
    photos: int
    skipped: tuple[tuple[int, str], ...]
    layers: tuple[str, ...]


def save_state(path: Path, origin: Origin, partial: PartialResult) -> None:
    """Write what was found so far, and what it is made from. Raises CannotWrite."""
    about = _StateHeader(
        origin=origin,
        batches=f"{partial.batches:x}",
        photos=partial.photos,
        skipped=partial.skipped,
        layers=tuple(partial.layers),
    )
    arrays: dict[str, Any] = {_ABOUT: np.frombuffer(about.model_dump_json().encode(), np.uint8)}
    for name, part in partial.layers.items():
        arrays[f"{name}/records"], arrays[f"{name}/histogram"] = part.records, part.histogram
    with replacing(path) as file:
        np.savez(file, **arrays)


def load_state(path: Path, origin: Origin) -> PartialResult | None:
    """Read what was found before, None where nothing was.

    Raises InputError where that was made from something else than `origin`, or cannot be read.
    """
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            about = _StateHeader.model_validate_json(arrays[_ABOUT].tobytes())
            layers = {
                name: LayerResult(arrays[f"{name}/records"], arrays[f"{name}/histogram"])
                for name in about.layers
            }
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(f"'{path}' cannot be read ({error}); remove its folder to begin again") from error
    _check_origin(path, about.origin, origin)
    skipped = tuple(SkippedIndex(*each) for each in about.skipped)
    return PartialResult(origin.top, int(about.batches, 16), about.photos, skipped, layers)


def _check_origin(path: Path, found: Origin, wanted: Origin) -> None:
    differs = differences(found, wanted)
    if differs:
        raise InputError(
            f"'{path.parent}' holds an unfinished index of another {differs}: {_WAYS_OUT}", field="name"
        )
