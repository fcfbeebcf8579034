"""Sample photos that may be published, with their licences, and a data set of crops of them."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from PIL import Image, ImageCms

PUBLIC_DOMAIN = "public domain"
CC0 = "CC0 1.0"
CC_BY = "CC BY 2.0"

# Side of a crop, and distance between crops, in pixels of a photo of at most this width and height.
CROP_PX, STEP_PX, LARGEST_PX = 256, 128, 700


@dataclass(frozen=True)
class SamplePhoto:
    """A photo in a Python package."""

    package: str
    path: str
    author: str
    licence: str

    @property
    def file(self) -> Path:
        """The installed file."""
        return Path(str(distribution(self.package).locate_file(self.path)))

    @property
    def name(self) -> str:
        """Name of the file."""
        return Path(self.path).name


def _skimage(name: str, author: str, licence: str) -> SamplePhoto:
    return SamplePhoto("scikit-image", f"skimage/data/{name}", author, licence)


PAVILION = SamplePhoto("scikit-learn", "sklearn/datasets/images/china.jpg", "danielbuechele", CC_BY)
FLOWER = SamplePhoto("scikit-learn", "sklearn/datasets/images/flower.jpg", "vultilion", CC_BY)
ASTRONAUT = _skimage("astronaut.png", "NASA", PUBLIC_DOMAIN)
CAT = _skimage("chelsea.png", "Stéfan van der Walt", CC0)
COFFEE = _skimage("coffee.png", "Rachel Michetti", CC0)
ROCKET = _skimage("rocket.jpg", "SpaceX", PUBLIC_DOMAIN)

# Photos of the figures, and those of the page.
SHOWN = (PAVILION, FLOWER, ASTRONAUT, CAT, COFFEE, ROCKET)
SAMPLES = (ASTRONAUT, CAT, COFFEE, ROCKET)
# Photos whose crops are the data set of indexes: only those without any condition.
CROPPED = (
    ASTRONAUT,
    CAT,
    COFFEE,
    ROCKET,
    _skimage("brick.png", "CC0Textures", CC0),
    _skimage("camera.png", "Lav Varshney", CC0),
    _skimage("clock_motion.png", "Stéfan van der Walt", PUBLIC_DOMAIN),
    _skimage("grass.png", "linolafett", CC0),
    _skimage("gravel.png", "CC0Textures", CC0),
    _skimage("hubble_deep_field.jpg", "NASA", PUBLIC_DOMAIN),
)


def write_crops(folder: Path) -> None:
    """Write overlapping crops of all photos, a subfolder for each photo."""
    for photo in CROPPED:
        target = folder / photo.file.stem
        target.mkdir(parents=True)
        image = _srgb(photo.file)
        image.thumbnail((LARGEST_PX, LARGEST_PX))
        for x, y in _corners(image.size):
            image.crop((x, y, x + CROP_PX, y + CROP_PX)).save(target / f"{y}-{x}.png")


def _srgb(file: Path) -> Image.Image:
    """Read a photo as RGB in sRGB."""
    with Image.open(file) as image:
        profile = image.info.get("icc_profile")
        if profile is None:
            return image.convert("RGB")
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # it converts in place only if asked to
    del converted.info["icc_profile"]
    return converted


def _corners(size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield the upper left corners of the crops of a photo."""
    width, height = size
    for y in range(0, height - CROP_PX + 1, STEP_PX):
        for x in range(0, width - CROP_PX + 1, STEP_PX):
            yield x, y
