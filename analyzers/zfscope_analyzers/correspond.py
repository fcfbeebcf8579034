"""Correspondence: whether covering the same part of different photos changes features alike (Sec 4.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, field_validator

from zfscope.analysis.contract import Analysis, Context, Picture, Table, array, images_of, picture
from zfscope.engine.trace import check_layer, trace
from zfscope.errors import InputError
from zfscope.images.compose import FAINT, above, beside, blank, framed, paragraph, text
from zfscope.images.geometry import Box
from zfscope.images.normalise import normalise
from zfscope.images.preprocess import Prepared
from zfscope.images.render import Rendering
from zfscope.images.transform import FillColour, fill_colour
from zfscope.store import Model
from zfscope_analyzers.boxes import PhotoBox
from zfscope_analyzers.names import distinct

RANDOM = "random"
"""The control among the parts."""

_ZERO = 1e-6
"""Of the largest feature of a photo: a smaller change is rounding, and counts as none."""
_BATCH = 4
"""Photos in a forward pass: a few tenths of a second on two cores, after which the caller is looked after."""


class Part(BaseModel):
    """A part that all photos show, such as the nose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64, description="What the part is called.")
    boxes: tuple[PhotoBox, ...] = Field(
        max_length=32, description="Where it lies: a box in pixels of the photo for each photo, in order."
    )

    @field_validator("name")
    @classmethod
    def _is_not_the_control(cls, name: str) -> str:
        if name == RANDOM:
            raise ValueError(f"no part may be named '{RANDOM}': that is the control")
        return name


class CorrespondParams(BaseModel):
    """What to cover, and where to compare what it changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: tuple[Part, ...] = Field(
        min_length=1, max_length=16, description="The parts to cover, one at a time."
    )
    layers: Annotated[tuple[str, ...], AfterValidator(distinct)] = Field(
        default=("pool5", "relu7"),
        min_length=1,
        max_length=8,
        description="Where features are compared: the outputs of the paper's layers 5 and 7.",
    )
    random: Annotated[int, Field(ge=0, le=100)] = Field(
        default=10,
        description="The control: how often a box of the photo's mean size, at a random place, is covered in "
        "each photo; 0 for no control.",
    )
    seed: NonNegativeInt = Field(default=0, description="Of the random places.")
    fill: FillColour = Field(
        default="grey",
        description="What covers: grey (128), mean (the colour that the model's preprocessing takes off), or "
        "black (0).",
    )

    @field_validator("parts")
    @classmethod
    def _no_part_twice(cls, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        distinct([part.name for part in parts])
        return parts


@dataclass(frozen=True, eq=False)
class _Covering:
    """Something covered in every photo: a box of whole pixels of the network's input for each."""

    name: str
    boxes: tuple[Box, ...]


@dataclass(frozen=True, eq=False)
class _Row:
    """A row of the result: a part, or all draws of the control.

    hamming: by layer, float32 (coverings, photos, photos), the share of features whose signs differ.
    """

    name: str
    coverings: Sequence[_Covering]
    hamming: Mapping[str, NDArray[np.float32]]

    def pairs(self, layer: str) -> NDArray[np.float64]:
        """Give the shares of all pairs of different photos, each pair once per covering."""
        shares = self.hamming[layer]
        first, second = np.triu_indices(shares.shape[1], k=1)
        return shares[:, first, second].astype(np.float64).flatten()


class Correspond:
    """Covers the same part in every photo, and compares which way each feature changes.

    x and x~ are the features of a photo before and after (first crop; the part painted over in its
    pixels, before anything is subtracted); e = x - x~. For each pair of photos i and j, the Hamming
    distance between sign(e_i) and sign(e_j), divided by the number of features: 0 where the network changes
    alike on both, which says that it relates the parts. The table gives the mean over all pairs and its
    standard deviation over them (dividing by their number), as the paper's Table 1.

    A sign is -1, 0 or 1, and signs are compared as they are: a feature that does not change in one photo
    (0) differs from one that falls or rises in the other, and agrees with one that does not change either.
    A change of at most 1e-6 of the photo's largest feature in the layer counts as 0: what rounding differs
    by between batches was 2e-7 of it.

    The control covers boxes at random places (uniform over the network's crop, independent of each other)
    as large as the photo's parts in the mean; its figures are over all draws and pairs.

    Gives the table `correspondence` (part, layer, mean, deviation, pairs), the control as the part `random`;
    the picture `correspondence`; the tensors `hamming`, float32 (parts, layers, photos, photos), `boxes`,
    int64 (parts, photos, 4): x0, y0, x1, y1 in pixels of the network's input, and, with a control,
    `random-hamming` and `random-boxes`, with the draws instead of the parts.
    """

    name = "correspond"
    summary = "Whether covering the same part of different photos changes features alike (Sec 4.3, Table 1)"
    api_version = 1
    photos = (2, 32)
    params = CorrespondParams

    def cost(self, model: Model, params: CorrespondParams) -> int:
        """Count the photo as it is, and once more for each part and each draw of the control."""
        return 1 + len(params.parts) + params.random

    def analyze(self, context: Context, params: CorrespondParams) -> Analysis:
        """Cover the parts, then the control, and compare.

        Raises NotFound for a layer that the model does not have, InputError for a part that has not one box
        for each photo, and for a box that does not lie in the crop that the network sees.
        """
        for place, layer in enumerate(params.layers):
            check_layer(context.model.network.spec, layer, field=f"layers[{place}]")
        parts = _parts(context.images, params)
        draws = _draws(context.images, parts, params)
        found = _compare(context, params, [*parts, *draws])
        rows = [_row([part], found[n : n + 1], params.layers) for n, part in enumerate(parts)]
        control = _row(draws, found[len(parts) :], params.layers) if draws else None
        shown = rows if control is None else [*rows, control]
        return Analysis(
            tensors=_tensors(rows, "") | (_tensors([control], "random-") if control else {}),
            pictures=(_figure(context, params, shown),) if context.pictures else (),
            tables={"correspondence": _table(shown, params.layers)},
        )


def _parts(images: Sequence[Prepared], params: CorrespondParams) -> list[_Covering]:
    """Place the parts in the network's input. Raises InputError."""
    coverings = []
    for place, part in enumerate(params.parts):
        field = f"parts[{place}].boxes"
        if len(part.boxes) != len(images):
            raise InputError(
                f"{field} of '{part.name}' has {len(part.boxes)} boxes for {len(images)} photos: "
                "give one for each photo, in order",
                field=field,
            )
        boxes = (
            _placed(box, prepared, f"{field}[{photo}]")
            for photo, (box, prepared) in enumerate(zip(part.boxes, images, strict=True))
        )
        coverings.append(_Covering(part.name, tuple(boxes)))
    return coverings


def _placed(given: PhotoBox, prepared: Prepared, field: str) -> Box:
    """Give the whole pixels of the network's input that are nearest to a box of the photo."""
    geometry = prepared.geometries[0]
    exact = geometry.to_network(Box(given.x0, given.y0, given.x1, given.y1))
    box = Box(round(exact.x0), round(exact.y0), round(exact.x1), round(exact.y1))
    words = _words(Box(given.x0, given.y0, given.x1, given.y1))
    if box.clip(geometry.network_size) != box:
        raise InputError(
            f"{field} is {words}; the network sees {_words(geometry.region)} of this photo: "
            "the box has to lie inside of that",
            field=field,
        )
    if not (box.width and box.height):
        side = geometry.region.width / geometry.network_size[1]
        raise InputError(
            f"{field} is {words}, which is empty at the network's resolution, of pixels {side:.3g} wide; "
            "give a larger box",
            field=field,
        )
    return box


def _words(box: Box) -> str:
    return f"({box.x0:.6g}, {box.y0:.6g}) to ({box.x1:.6g}, {box.y1:.6g})"


def _draws(
    images: Sequence[Prepared], parts: Sequence[_Covering], params: CorrespondParams
) -> list[_Covering]:
    """Draw the control's boxes: draw by draw, photo by photo, first x, then y."""
    generator = np.random.default_rng(params.seed)
    sizes = [_mean_size([part.boxes[photo] for part in parts]) for photo in range(len(images))]
    inputs = [prepared.geometries[0].network_size for prepared in images]
    return [
        _Covering(
            RANDOM,
            tuple(_anywhere(size, inside, generator) for size, inside in zip(sizes, inputs, strict=True)),
        )
        for _ in range(params.random)
    ]


def _mean_size(boxes: Sequence[Box]) -> tuple[int, int]:
    """Give the mean height and width in whole pixels."""
    height, width = (np.mean([getattr(box, side) for box in boxes]) for side in ("height", "width"))
    return round(float(height)), round(float(width))


def _anywhere(size: tuple[int, int], inside: tuple[int, int], generator: np.random.Generator) -> Box:
    (height, width), (rows, columns) = size, inside
    x = int(generator.integers(columns - width, endpoint=True))
    y = int(generator.integers(rows - height, endpoint=True))
    return Box(x, y, x + width, y + height)


def _compare(
    context: Context, params: CorrespondParams, coverings: Sequence[_Covering]
) -> list[dict[str, NDArray[np.float32]]]:
    """Give, for each covering, the Hamming distances by layer: (photos, photos)."""
    images, steps = context.images, len(coverings) + 1
    plain = _features(context, params, [prepared.pixels[0] for prepared in images], 0, steps)
    found = []
    for step, covering in enumerate(coverings, 1):
        pixels = [
            _covered(context.model, prepared, box, params.fill)[1]
            for prepared, box in zip(images, covering.boxes, strict=True)
        ]
        features = _features(context, params, pixels, step, steps)
        found.append({layer: hamming(signs(before, features[layer])) for layer, before in plain.items()})
    return found


def _features(
    context: Context, params: CorrespondParams, pixels: Sequence[NDArray[np.float32]], step: int, steps: int
) -> dict[str, NDArray[np.float32]]:
    """Run crops through the network, a few at a time, and give their features by layer: (photos, units)."""
    network = context.model.network
    names = [layer.name for layer in network.spec.layers]
    last = max(params.layers, key=names.index)
    parts: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in params.layers}
    for start in range(0, len(pixels), _BATCH):
        context.check_cancelled()
        batch = np.stack(pixels[start : start + _BATCH])
        outputs = trace(network, images_of(context.model, batch), until=last).outputs
        for layer, kept in parts.items():
            kept.append(array(outputs[layer]).reshape(len(batch), -1))
        context.progress((step + (start + len(batch)) / len(pixels)) / steps, None)
    return {layer: np.concatenate(kept) for layer, kept in parts.items()}


def _covered(
    model: Model, prepared: Prepared, box: Box, fill: FillColour
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Paint a box of the first crop over: its view (H, W, 3), and the network's input (3, H, W)."""
    rows, columns = slice(int(box.y0), int(box.y1)), slice(int(box.x0), int(box.x1))
    view, pixels = prepared.views[0].copy(), prepared.pixels[0].copy()
    view[rows, columns] = fill_colour(fill, model.preprocessing, model.mean_image)
    # The rest stays as it was: of a photo that came as a tensor the view is rounded.
    pixels[:, rows, columns] = normalise(view, model.preprocessing, model.mean_image)[:, rows, columns]
    return view, pixels


def signs(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.int8]:
    """Give the signs of before - after, features of (photos, units): -1, 0 or 1."""
    change = before - after
    change[np.abs(change) <= _ZERO * np.abs(before).max(axis=1, keepdims=True)] = 0
    found: NDArray[np.int8] = np.sign(change).astype(np.int8)
    return found


def hamming(patterns: NDArray[np.int8]) -> NDArray[np.float32]:
    """Give the share of units whose signs differ for each two of the photos: (photos, photos)."""
    shares = np.zeros((len(patterns), len(patterns)), np.float32)
    for i, j in combinations(range(len(patterns)), 2):
        shares[i, j] = shares[j, i] = np.mean(patterns[i] != patterns[j])
    return shares


def _row(
    coverings: Sequence[_Covering], found: Sequence[Mapping[str, NDArray[np.float32]]], layers: Sequence[str]
) -> _Row:
    hammings = {layer: np.stack([shares[layer] for shares in found]) for layer in layers}
    return _Row(coverings[0].name, coverings, hammings)


def _tensors(rows: Sequence[_Row], prefix: str) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
    shares = [np.stack(list(row.hamming.values()), axis=1) for row in rows]
    sides = [
        [[box.x0, box.y0, box.x1, box.y1] for box in covering.boxes]
        for row in rows
        for covering in row.coverings
    ]
    return {f"{prefix}hamming": np.concatenate(shares), f"{prefix}boxes": np.array(sides, np.int64)}


def _table(rows: Sequence[_Row], layers: Sequence[str]) -> Table:
    cells = (
        (row.name, layer, float(pairs.mean()), float(pairs.std()), len(pairs))
        for row in rows
        for layer in layers
        for pairs in (row.pairs(layer),)
    )
    return Table(("part", "layer", "mean", "deviation", "pairs"), tuple(cells))


_NAME_PX, _NUMBER_PX, _TILES_PX, _SMALLEST_TILE_PX = 170, 150, 1000, 48
_TITLE, _BODY, _SMALL, _GAP, _MARGIN = 27, 16, 14, 4, 36


def _figure(context: Context, params: CorrespondParams, rows: Sequence[_Row]) -> Picture:
    """Draw Table 1 with the covered photos beside: a row for each part."""
    tile_px = min(160, max(_SMALLEST_TILE_PX, _TILES_PX // len(context.images)))
    head = [_cell("covered", _NAME_PX, 0), *(_cell(layer, _NUMBER_PX, 0) for layer in params.layers)]
    lines = [beside(head, gap=0)]
    for row in rows:
        covered = zip(context.images, row.coverings[0].boxes, strict=True)
        views = [_covered(context.model, prepared, box, params.fill)[0] for prepared, box in covered]
        tiles = [Image.fromarray(view).resize((tile_px, tile_px), Image.Resampling.LANCZOS) for view in views]
        numbers = (_cell(_figures(row, layer), _NUMBER_PX, tile_px) for layer in params.layers)
        lines.append(beside([_cell(row.name, _NAME_PX, tile_px), *numbers, beside(tiles, gap=_GAP)], gap=0))
    table = above(lines, gap=_GAP + 4)
    model = context.model
    title = paragraph(f"Correspondence in {model.name} version {model.version}", _TITLE, table.width)
    caption = paragraph(_caption(rows), _SMALL, table.width, FAINT)
    page = framed(above([title, table, caption], gap=20), _MARGIN)
    note = f"photos covered with: {params.fill}; the numbers are those of the table 'correspondence'"
    return picture("correspondence", Rendering(np.asarray(page), note))


def _figures(row: _Row, layer: str) -> str:
    pairs = row.pairs(layer)
    return f"{pairs.mean():.3f} \u00b1 {pairs.std():.3f}"


def _cell(words: str, width_px: int, height_px: int) -> Image.Image:
    """Write words at the left of a cell, half way up."""
    line = text(words, _BODY, width_px=width_px - 10)
    cell = blank(width_px, max(line.height, height_px))
    cell.paste(line, (0, (cell.height - line.height) // 2))
    return cell


def _caption(rows: Sequence[_Row]) -> str:
    words = (
        "Mean feature sign change: the share of a layer's features that do not change the same way in two "
        "photos when the part is covered, over all pairs of photos, \u00b1 standard deviation. Lower: the "
        "network relates the parts more closely."
    )
    if rows[-1].name == RANDOM:
        words += f" Control: {len(rows[-1].coverings)} draws of random boxes, of which the first is shown."
    return words
