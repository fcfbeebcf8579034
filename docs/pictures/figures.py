"""Figures of the analyses."""

import io

from PIL import Image

from docs.pictures.material import Material
from docs.pictures.photos import ASTRONAUT, CAT, COFFEE, PAVILION, ROCKET, SHOWN, SamplePhoto
from zfscope import Box
from zfscope.results import Picture

# The same parts of the cat and the astronaut, in photo pixels.
PARTS = {
    "eyes": [Box(140, 85, 350, 150), Box(180, 92, 265, 122)],
    "nose": [Box(225, 215, 290, 270), Box(205, 112, 243, 142)],
}
# Upper edge of the table in the comparison of two models of 96 filters.
TABLE_TOP_PX = 1720


def projections(material: Material) -> Image.Image:
    """Return the nine strongest maps of conv5 on the pavilion."""
    return _image(material.client.project(_read(PAVILION), layer="conv5", top=9, control=True).sheet)


def activations(material: Material) -> Image.Image:
    """Return the nine strongest maps of relu2 on the pavilion."""
    return _image(material.client.activations(_read(PAVILION), layer="relu2", top=9).sheet)


def occlusion(material: Material) -> Image.Image:
    """Return the occlusion maps of SqueezeNet on the cat."""
    return _image(material.squeezenet.occlude(_read(CAT), layer="fire8", window=48, stride=8).picture)


def invariance(material: Material) -> Image.Image:
    """Return the invariance of zfnet-imagenette on three photos."""
    photos = [_read(photo) for photo in (ROCKET, COFFEE, ASTRONAUT)]
    return _image(material.client.measure_invariance(photos).picture)


def correspondence(material: Material) -> Image.Image:
    """Return the correspondence of eyes and noses of the cat and the astronaut."""
    return _image(material.client.correspond([_read(CAT), _read(ASTRONAUT)], PARTS).picture)


def architectures(material: Material) -> Image.Image:
    """Return the comparison of the two models of the repository on six photos, without the figure's table."""
    models = ["zfnet-imagenette", "alexnet-imagenette"]
    photos = [_read(photo) for photo in SHOWN]
    figure = _image(material.client.compare_architectures(models, photos).picture)
    return figure.crop((0, 0, figure.width, TABLE_TOP_PX))


def strongest(material: Material) -> Image.Image:
    """Return the strongest crops of six maps of conv5."""
    return _image(material.indexed.top_k(layer="conv5", count=6).picture)


def evolution(material: Material) -> Image.Image:
    """Return the development of four maps of conv5."""
    maps = [found.map for found in material.indexed.top_k(layer="conv5", count=4, pictures=False).maps]
    return _image(material.indexed.evolve(layer="conv5", maps=maps).picture)


def _read(photo: SamplePhoto) -> bytes:
    return photo.file.read_bytes()


def _image(picture: Picture | None) -> Image.Image:
    assert picture is not None  # pictures are requested by default
    return Image.open(io.BytesIO(picture.png)).convert("RGB")
