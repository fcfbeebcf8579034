"""The files of all pictures."""

from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image

from docs.pictures import figures, screens
from docs.pictures.material import Material

FOLDER = Path(__file__).parents[1] / "images"
# Width in pixels that a page of the site shows sharply; larger pictures are reduced.
WIDTH_PX = 1120
QUALITY = 75

PICTURES: Mapping[str, Callable[[Material], Image.Image]] = {
    "china-conv5": figures.projections,
    "china-relu2": figures.activations,
    "cat-occlusion": figures.occlusion,
    "invariance": figures.invariance,
    "correspondence": figures.correspondence,
    "architectures": figures.architectures,
    "top-9": figures.strongest,
    "evolution": figures.evolution,
    "page-look": screens.look,
    "page-dark": screens.look_dark,
    "page-brush": screens.brush,
    "page-sweep": screens.sweep,
    "page-unit": screens.unit,
    "page-compare": screens.compare,
    "gallery-layer": screens.gallery_layer,
    "gallery-map": screens.gallery_map,
}


def path_of(name: str) -> Path:
    """Return the file of a picture."""
    return FOLDER / f"{name}.jpg"


def write(name: str, image: Image.Image) -> None:
    """Write a picture, reduced to the width of a page."""
    if image.width > WIDTH_PX:
        height = round(image.height * WIDTH_PX / image.width)
        image = image.resize((WIDTH_PX, height), Image.Resampling.LANCZOS)
    image.save(path_of(name), quality=QUALITY, optimize=True, progressive=True)
