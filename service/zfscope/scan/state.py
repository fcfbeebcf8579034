"""The state of an unfinished scan on disk, in one file that is replaced atomically."""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from pydantic import BaseModel, ConfigDict

from zfscope.errors import InputError
from zfscope.files import replacing
from zfscope.parallel import UnusedPhoto
from zfscope.scan.manifest import Origin, differences
from zfscope.scan.partial import LayerResult, PartialResult

# Key of the header among the arrays of the file.
_HEADER = "about"
_REMEDY = "use the same options to resume it, choose another --name, or remove that folder"


class _StateHeader(BaseModel):
    """A partial result except its arrays. batches: bit set in hexadecimal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: Origin
    batches: str
    photos: int
    skipped: tuple[tuple[int, str], ...]
    layers: tuple[str, ...]


def save_state(path: Path, origin: Origin, partial: PartialResult) -> None:
    """Write a partial result and its inputs. Raises CannotWrite."""
    header = _StateHeader(
        origin=origin,
        batches=f"{partial.batches:x}",
        photos=partial.photos,
        skipped=partial.skipped,
        layers=tuple(partial.layers),
    )
    arrays: dict[str, Any] = {_HEADER: np.frombuffer(header.model_dump_json().encode(), np.uint8)}
    for name, part in partial.layers.items():
        arrays[f"{name}/records"], arrays[f"{name}/histogram"] = part.records, part.histogram
    with replacing(path) as file:
        np.savez(file, **arrays)


def load_state(path: Path, origin: Origin) -> PartialResult | None:
    """Read a saved partial result; None if there is none.

    Raises InputError if it was made with inputs other than `origin`, or cannot be read.
    """
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            header = _StateHeader.model_validate_json(arrays[_HEADER].tobytes())
            layers = {
                name: LayerResult(arrays[f"{name}/records"], arrays[f"{name}/histogram"])
                for name in header.layers
            }
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(f"'{path}' cannot be read ({error}); remove its folder to start again") from error
    _check_origin(path, header.origin, origin)
    skipped = tuple(UnusedPhoto(*each) for each in header.skipped)
    return PartialResult(origin.top, int(header.batches, 16), header.photos, skipped, layers)


def _check_origin(path: Path, saved: Origin, origin: Origin) -> None:
    differing = differences(saved, origin)
    if differing:
        raise InputError(
            f"'{path.parent}' holds an unfinished index that differs in {differing}; {_REMEDY}", field="name"
        )
