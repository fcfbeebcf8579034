"""The files of all drawings."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from docs.drawings import deconvnet, occlusion

FOLDER = Path(__file__).parents[1] / "explanation" / "drawings"


@cache
def files() -> Mapping[str, str]:
    """Return the text of each file by its name."""
    drawings = {**deconvnet.drawings(), **occlusion.drawings()}
    return {f"{name}.svg": draw() for name, draw in drawings.items()}
