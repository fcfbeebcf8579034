"""What `zfscope project` leaves in a folder: pictures, and tensors where they were asked for."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from zfscope.client import Projection, Projections


@dataclass(frozen=True)
class Files:
    """The files that one projection, or the sheet of all, was written to; None where there is none."""

    picture: Path | None = None
    tensor: Path | None = None
    control_tensor: Path | None = None


def write_sheet(folder: Path, seen: "Projections", *, layer: str) -> Path | None:
    """Write the sheet of all projections as LAYER.png; give the file, None without pictures."""
    if seen.sheet is None:
        return None
    path = folder / f"{plain(layer)}.png"
    path.write_bytes(seen.sheet.png)
    return path


def write_projection(folder: Path, seen: "Projection") -> Files:
    """Write a projection as LAYER-MAP[-Y-X].png, and its tensors as .npy, float32 (3, H, W)."""
    place = [seen.map] if seen.y is None or seen.x is None else [seen.map, seen.y, seen.x]
    name = "-".join([plain(seen.layer), *map(str, place)])
    files = Files(
        picture=folder / f"{name}.png" if seen.picture else None,
        tensor=folder / f"{name}.npy" if seen.tensor is not None else None,
        control_tensor=folder / f"{name}-control.npy" if seen.control_tensor is not None else None,
    )
    if files.picture and seen.picture:
        files.picture.write_bytes(seen.picture.png)
    if files.tensor and seen.tensor is not None:
        np.save(files.tensor, seen.tensor)
    if files.control_tensor and seen.control_tensor is not None:
        np.save(files.control_tensor, seen.control_tensor)
    return files


def plain(name: str) -> str:
    """Make a name, which a service may have sent, one that cannot lead out of the folder."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
