"""A picture of projections with and without the ReLU on the way down, for two units at one position."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.rectification import LINEAR, RULES, project_all, strongest_other, without_rectifiers
from zfscope.analysis.control import control_network, strongest_at_positions
from zfscope.engine import Trace, Unit, strongest_unit, trace
from zfscope.engine.frame import crop_planes, unit_frame
from zfscope.engine.seeds import ranked_maps
from zfscope.images import layout
from zfscope.images.decode import decode
from zfscope.images.geometry import Box
from zfscope.images.preprocess import Prepared, prepare
from zfscope.images.render import Rgb, signed_to_rgb
from zfscope.images.tiles import crop_padded
from zfscope.networks import Network
from zfscope.store import ModelStore

LAYERS = ("conv3", "conv5")
_TILE, _GAP = 136, 10
_TITLES = {"deconvnet": "deconvnet", LINEAR: "no ReLU", "gradient": "gradient", "guided": "guided"}


def picture() -> Image.Image:
    """Return a row for each unit: the patch of the photo, its projections by each rule, and the control."""
    model = ModelStore(Path(__file__).parents[2] / "model_store").load("zfnet-imagenette")
    photo = decode(files("skimage.data").joinpath("chelsea.png").read_bytes())
    prepared = prepare(photo, model.preprocessing, mean_image=model.mean_image)
    heads = ["photo", *_TITLES.values(), "control"]
    rows = [layout.hstack([layout.cell(head, _TILE, size_px=layout.SMALL) for head in heads], gap=_GAP)]
    for layer in LAYERS:
        rows += _rows(model.network, prepared, layer)
    return layout.add_margin(layout.vstack(rows, gap=_GAP), 2 * _GAP)


def _rows(network: Network, prepared: Prepared, layer: str) -> list[Image.Image]:
    """Return the label and the rows of the strongest unit of a layer and of another one at its position."""
    image = torch.from_numpy(prepared.pixels)
    traced = trace(network, image, until=layer)
    unit = strongest_unit(traced, layer, 0, ranked_maps(traced, layer, 0)[0])
    other = strongest_other(traced, layer, unit)
    label = f"{layer}: maps {unit.map} and {other.map}, both at row {unit.y}, column {unit.x}"
    box = unit_frame(network.spec, layer).box(unit.y, unit.x)
    patch = crop_padded(prepared.views[0], box)
    own = projections(network, traced, layer, [unit, other], box)
    control = control_network(network, layer)
    random = trace(control, image, until=layer)
    (random_unit,) = strongest_at_positions(random, layer, [unit])
    (controls,) = projections(control, random, layer, [random_unit], box)
    text = layout.text(label, layout.BODY)
    rows = [[patch, *shown, controls[0]] for shown in own]
    return [text, *(layout.hstack([_tile(picture) for picture in row], gap=_GAP) for row in rows)]


def projections(
    network: Network, traced: Trace, layer: str, units: Sequence[Unit], box: Box
) -> Sequence[Sequence[Rgb]]:
    """Return, for each unit, its projections by each rule, each on its own scale."""
    by_rule = project_all(network, without_rectifiers(network), traced, layer, units)
    return [
        [signed_to_rgb(crop_planes(by_rule[rule][index].numpy(), box)) for rule in RULES]
        for index in range(len(units))
    ]


def _tile(picture: Rgb) -> Image.Image:
    tile = Image.fromarray(np.ascontiguousarray(picture))
    return tile.resize(
        (_TILE, _TILE), Image.Resampling.NEAREST if tile.width < _TILE else Image.Resampling.LANCZOS
    )
