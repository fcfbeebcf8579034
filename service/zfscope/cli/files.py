"""The files of a projection, and of the sheet of all: their names and contents."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zfscope.cli.output_folder import npy, plain

if TYPE_CHECKING:
    from zfscope.client import Projection, Projections


@dataclass(frozen=True)
class Files:
    """The files of one projection; None for those that were not written."""

    picture: Path | None = None
    tensor: Path | None = None
    control_tensor: Path | None = None


def sheet_name(layer: str) -> str:
    """Name the sheet of all projections: LAYER.png."""
    return f"{plain(layer)}.png"


def contents(seen: "Projections", *, layer: str) -> dict[str, bytes]:
    """Return the contents of all files by name: pictures as PNG, tensors as .npy, float32 (3, H, W)."""
    found: dict[str, bytes] = {}
    if seen.sheet is not None:
        found[sheet_name(layer)] = seen.sheet.png
    for item in seen.projections:
        name = _name(item)
        if item.picture is not None:
            found[f"{name}.png"] = item.picture.png
        if item.tensor is not None:
            found[f"{name}.npy"] = npy(item.tensor)
        if item.control_tensor is not None:
            found[f"{name}-control.npy"] = npy(item.control_tensor)
    return found


def files_of(item: "Projection", written: Mapping[str, Path]) -> Files:
    """Return the files of a projection among those that were written, by their names in `contents`."""
    name = _name(item)
    endings = (".png", ".npy", "-control.npy")
    return Files(*(written.get(f"{name}{ending}") for ending in endings))


def _name(item: "Projection") -> str:
    """Name a projection: LAYER-MAP, or LAYER-MAP-Y-X."""
    place = [item.map] if item.y is None or item.x is None else [item.map, item.y, item.x]
    return "-".join([plain(item.layer), *map(str, place)])
