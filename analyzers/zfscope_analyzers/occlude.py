"""Occlusion: what the network no longer says when a part of the photo is covered (Sec 4.2, Fig 7)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
    field_validator,
)
from torch import Tensor

from zfscope.analysis.classification import softmax
from zfscope.analysis.contract import (
    Analysis,
    Context,
    Picture,
    Table,
    array,
    class_number,
    images_of,
    picture,
)
from zfscope.engine.deconvnet import project
from zfscope.engine.occlusion import recompute
from zfscope.engine.seeds import Unit, activation, strongest_unit, strongest_units
from zfscope.engine.signal import Signal
from zfscope.engine.trace import Trace, check_layer, trace
from zfscope.errors import InputError, NotFound
from zfscope.images.geometry import Box
from zfscope.images.heat import class_panel, figure, heat_panel, photo_panel
from zfscope.images.normalise import normalise, reorder
from zfscope.images.preprocess import Prepared
from zfscope.images.render import signed_to_rgb
from zfscope.store import Label, Model
from zfscope_analyzers.boxes import PhotoBox
from zfscope_analyzers.cover import COLOUR, covered
from zfscope_analyzers.masks import MaskFile, masked
from zfscope_analyzers.windows import Window, averaged, likeliest_map, of_one_size, on_photo, starts

_FULL_BATCH = 32
_PANEL_PX = 400


class OccludeParams(BaseModel):
    """What to cover, and what to look at meanwhile. Windows are in pixels of the network's input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: PositiveInt = Field(default=32, description="Side of the square that covers, in pixels.")
    stride: PositiveInt = Field(
        default=8, validate_default=True, description="Pixels from one position to the next."
    )
    masks: tuple[MaskFile, ...] = Field(
        default=(),
        max_length=256,
        description="Cover these instead of a sliding window: image files as large as the photo, of which "
        "pixels lighter than 127 are covered.",
    )
    boxes: tuple[PhotoBox, ...] = Field(
        default=(), max_length=1024, description="Cover these, in photo pixels, instead of a sliding window."
    )
    fill: str = Field(
        default="grey",
        pattern=rf"^(grey|mean|blur|{COLOUR})$",
        description="What covers: grey (128), mean (the mean colour of the network's crop of this photo), "
        "blur (that crop, by a Gaussian of a standard deviation of half a window), or #rrggbb.",
    )
    classes: tuple[str, ...] = Field(
        default=(), max_length=16, description="Labels or their ids; none: the clean photo's likeliest."
    )
    value: Literal["probability", "logit"] = Field(default="probability", description="Of the classes.")
    layer: str = Field(default="relu5", description="Whose map's total activation is watched.")
    map: NonNegativeInt | None = Field(
        default=None, description="Which of its maps; none: the strongest in the clean photo."
    )
    method: Literal["incremental", "full"] = Field(
        default="incremental",
        description="Compute again what changes, or run whole passes: the same numbers, slower.",
    )

    @field_validator("boxes")
    @classmethod
    def _boxes_or_masks(cls, boxes: tuple[PhotoBox, ...], info: ValidationInfo) -> tuple[PhotoBox, ...]:
        if boxes and info.data.get("masks"):
            raise ValueError("masks are given too; give one of the two")
        return boxes

    @field_validator("stride")
    @classmethod
    def _every_pixel_is_covered(cls, stride: int, info: ValidationInfo) -> int:
        window = info.data.get("window", stride)
        if stride > window:
            raise ValueError(f"stride {stride} is more than window {window}: pixels would stay uncovered")
        return stride


@dataclass(frozen=True, eq=False)
class _Scene:
    """What is the same for all windows."""

    context: Context
    params: OccludeParams
    windows: Sequence[Window]
    targets: Sequence[int]
    clean: NDArray[np.float64]
    unit: Unit
    traced: Trace
    cover: NDArray[np.uint8]
    """What covers, as a picture of the crop's size."""
    filled: Tensor
    """The normalised crop with the fill everywhere: (3, H, W)."""

    def under(self, window: Window) -> Tensor:
        """Give the normalised pixels of a window that is covered: (3, rows, columns)."""
        rows, columns = window.area
        mask = torch.as_tensor(window.mask, device=self.filled.device)
        clean = self.traced.outputs["input"][0, :, rows, columns]
        return torch.where(mask, self.filled[:, rows, columns], clean)

    @property
    def model(self) -> Model:
        """The model that looks."""
        return self.context.model

    @property
    def prepared(self) -> Prepared:
        """The photo that is looked at."""
        return self.context.images[0]

    @property
    def labels(self) -> Sequence[Label]:
        """The model's classes."""
        return self.model.labels


@dataclass(eq=False)
class _Seen:
    """What the windows did: class scores (windows, classes), and totals of the map (windows,)."""

    logits: NDArray[np.float32]
    totals: NDArray[np.float32]
    done: set[int] = field(default_factory=set)


class Occlude:
    """Covers the photo piece by piece and asks the network again each time.

    The number `windows`. Tables: `classes` (label_id, label, clean, lowest, x0, y0, x1, y1: the window in
    photo pixels that lowers the class most) and `watched` (layer, map, clean_total, lowest_total).
    Tensors, for N windows: `windows` int64 (N, 4), first row, first column, rows, columns in the network's
    input, of a mask those around it; `values` float32 (targets, N); `likeliest` int64 (N,); `totals` float32
    (N,), the map's activations summed over space; averaged over the windows, or masks, that cover a pixel,
    `value-maps` (targets, H, W) and `total-map` (H, W) of the crop, and `photo-value-maps` in photo pixels,
    where what was never covered keeps the clean value; `projection` (3, H, W) of the map's strongest unit.
    One picture, `occlusion`: all of Fig 7.
    """

    name = "occlude"
    summary = "Which parts of a photo the class, and a feature map, depend on: they are covered one by one"
    api_version = 1
    photos = (1, 1)
    params = OccludeParams

    def cost(self, model: Model, params: OccludeParams) -> int:
        """Count a pass for each window; most cost less by the incremental method."""
        if given := params.boxes or params.masks:
            return 2 + len(given)
        side = model.preprocessing.crop
        return 2 + len(starts(side, params.window, params.stride)) ** 2

    def analyze(self, context: Context, params: OccludeParams) -> Analysis:
        """Cover the first crop of the photo.

        Raises InputError for a window larger than the crop, a box outside of it, a mask that is no image, has
        not the photo's size or covers nothing of the crop, and a name that several classes have; NotFound for
        a class, layer or map that the model does not have.
        """
        scene = _scene(context, params)
        count, classes = len(scene.windows), len(scene.labels)
        seen = _Seen(np.zeros((count, classes), np.float32), np.zeros(count, np.float32))
        passes = _incremental if params.method == "incremental" else _full
        for share in passes(scene, seen):
            context.check_cancelled()
            shows = context.pictures and seen.done
            context.progress(share, partial(_partial, scene, seen) if shows else None)
        return _result(scene, seen)


def _scene(context: Context, params: OccludeParams) -> _Scene:
    model, prepared = context.model, context.images[0]
    windows = _windows(context, params)
    targets = [
        class_number(model, label, field=f"classes[{place}]") for place, label in enumerate(params.classes)
    ]
    check_layer(model.network.spec, params.layer)
    shape = model.network.shapes[params.layer]
    if params.map is not None and params.map >= shape[0]:
        raise NotFound(
            f"no map {params.map} in layer '{params.layer}'; map runs from 0 to {shape[0] - 1}", field="map"
        )
    traced = trace(model.network, images_of(model, prepared.pixels[:1]))
    scores = array(traced.outputs[model.network.spec.layers[-1].name])[0]
    if params.map is None:
        (unit,) = strongest_units(traced, params.layer, 0, 1)
    else:
        unit = strongest_unit(traced, params.layer, 0, params.map)
    cover = covered(prepared.views[0], params.fill, blur_px=params.window / 2)
    filled = normalise(cover, model.preprocessing, model.mean_image)
    return _Scene(
        context=context,
        params=params,
        windows=windows,
        targets=targets or [int(scores.argmax())],
        clean=_values(scores[None], params.value)[0],
        unit=unit,
        traced=traced,
        cover=cover,
        filled=images_of(model, filled),
    )


def _values(logits: NDArray[np.float32], kind: str) -> NDArray[np.float64]:
    return softmax(logits) if kind == "probability" else logits.astype(np.float64)


def _windows(context: Context, params: OccludeParams) -> Sequence[Window]:
    prepared = context.images[0]
    height, width = prepared.views.shape[1:3]
    if params.boxes:
        return [_boxed(box, place, prepared) for place, box in enumerate(params.boxes)]
    if params.masks:
        return list(_masked(context, params.masks))
    if params.window > min(height, width):
        raise InputError(
            f"window is {params.window}; the network reads {width} x {height} pixels: allowed are 1 to "
            f"{min(height, width)}",
            field="window",
        )
    rows, columns = (starts(side, params.window, params.stride) for side in (height, width))
    return [Window(y, x, params.window, params.window) for y in rows for x in columns]


def _boxed(box: PhotoBox, place: int, prepared: Prepared) -> Window:
    """Give the network pixels of a box of the photo. Raises InputError for one outside of the crop."""
    height, width = prepared.views.shape[1:3]
    there = prepared.geometries[0].to_network(Box(box.x0, box.y0, box.x1, box.y1)).whole()
    inside = there.clip((height, width))
    if not inside.width or not inside.height:
        region = prepared.geometries[0].region
        raise InputError(
            f"boxes[{place}] is ({box.x0:g}, {box.y0:g}, {box.x1:g}, {box.y1:g}); of the photo the network "
            f"sees ({region.x0:g}, {region.y0:g}, {region.x1:g}, {region.y1:g})",
            field=f"boxes[{place}]",
        )
    return Window(int(inside.y0), int(inside.x0), int(inside.height), int(inside.width))


def _masked(context: Context, masks: Sequence[bytes]) -> Iterator[Window]:
    """Give the window of each mask; a mask of a large photo takes some tenths of a second."""
    for place, mask in enumerate(masks):
        context.check_cancelled()
        yield masked(mask, context.images[0], f"masks[{place}]")


def _incremental(scene: _Scene, seen: _Seen) -> Iterator[float]:
    """Compute again only what a covered window changes; give the share that is done."""
    last = scene.model.network.spec.layers[-1].name
    parts = 0
    for places in of_one_size(scene.windows):
        for part in recompute(
            scene.model.network, scene.traced, _changes(scene, places), {scene.params.layer, last}
        ):
            numbers = [places[window] for window in part.windows]
            if scene.params.layer in part.outputs:
                seen.totals[numbers] = _totals(scene, part.outputs[scene.params.layer])
                parts += len(numbers)
            if last in part.outputs:
                seen.logits[numbers] = array(part.outputs[last].values)
                seen.done.update(numbers)
                parts += len(numbers)
            yield parts / (2 * len(scene.windows))


def _changes(scene: _Scene, places: list[int]) -> Signal:
    windows = [scene.windows[place] for place in places]
    values = torch.stack([scene.under(window) for window in windows])
    origins = torch.tensor([(window.y, window.x) for window in windows])
    return Signal(values, torch.zeros(len(windows), dtype=torch.int64), origins)


def _totals(scene: _Scene, changed: Signal) -> NDArray[np.float32]:
    """Sum the map over space: what it was, less what the window was, and what it is now."""
    whole = scene.traced.outputs[scene.params.layer][0, scene.unit.map]
    if whole.dim() == 0:
        return array(changed.values[:, scene.unit.map])
    rows, columns = changed.size
    before = torch.stack([whole[y : y + rows, x : x + columns].sum() for y, x in changed.origins.tolist()])
    return array(whole.sum() - before + changed.values[:, scene.unit.map].sum((1, 2)))


def _full(scene: _Scene, seen: _Seen) -> Iterator[float]:
    """Run whole passes: class scores by the forward runtime, the map by the engine."""
    clean = scene.traced.outputs["input"][0]
    for start in range(0, len(scene.windows), _FULL_BATCH):
        numbers = list(range(start, min(start + _FULL_BATCH, len(scene.windows))))
        images = clean.repeat(len(numbers), 1, 1, 1)
        for image, number in zip(images, numbers, strict=True):
            rows, columns = scene.windows[number].area
            image[:, rows, columns] = scene.under(scene.windows[number])
        seen.logits[numbers] = scene.context.runtime.forward(array(images))
        maps = trace(scene.model.network, images, until=scene.params.layer).outputs[scene.params.layer]
        seen.totals[numbers] = array(
            maps[:, scene.unit.map].flatten(1).sum(1) if maps.dim() == 4 else maps[:, scene.unit.map]
        )
        seen.done.update(numbers)
        yield len(seen.done) / len(scene.windows)


def _partial(scene: _Scene, seen: _Seen) -> Analysis:
    """Give the map of the first class as far as it is known."""
    done = sorted(seen.done)
    values = _values(seen.logits[done], scene.params.value)[:, scene.targets[0]]
    view = scene.prepared.views[0]
    clean = float(scene.clean[scene.targets[0]])
    heat = averaged(values, [scene.windows[n] for n in done], view.shape[:2], clean)
    drawn = figure(
        [heat_panel(heat, view, _value_caption(scene, scene.targets[0]), side_px=_PANEL_PX)],
        title="Occlusion, so far",
        subtitle=f"{len(done)} of {len(scene.windows)} positions",
        scale=_HEAT_NOTE,
    )
    return Analysis(pictures=(picture("occlusion", drawn),))


_HEAT_NOTE = "viridis from the least value (dark) to the greatest (yellow), which are written under each map"


def _result(scene: _Scene, seen: _Seen) -> Analysis:
    view = scene.prepared.views[0]
    size = view.shape[:2]
    values = _values(seen.logits, scene.params.value)[:, scene.targets].T
    likeliest = seen.logits.argmax(1).astype(np.int64)
    maps = np.stack(
        [
            averaged(row, scene.windows, size, float(scene.clean[target]))
            for row, target in zip(values, scene.targets, strict=True)
        ]
    )
    clean_total = _clean_total(scene)
    total_map = averaged(seen.totals, scene.windows, size, clean_total)
    projection = array(project(scene.model.network, scene.traced, scene.params.layer, [scene.unit]))[0]
    tensors = {
        "windows": np.array([(w.y, w.x, w.height, w.width) for w in scene.windows], np.int64),
        "values": values.astype(np.float32),
        "likeliest": likeliest,
        "totals": seen.totals,
        "value-maps": maps,
        "total-map": total_map,
        "projection": projection,
    }
    if scene.context.tensors:
        tensors["photo-value-maps"] = np.stack(
            [
                on_photo(heat, scene.prepared, float(scene.clean[t]))
                for heat, t in zip(maps, scene.targets, strict=True)
            ]
        )
    pictures: tuple[Picture, ...] = ()
    if scene.context.pictures:
        classes = likeliest_map(likeliest, scene.windows, size, int(scene.clean.argmax()))
        pictures = _pictures(scene, maps, total_map, classes, projection)
    tables = {"classes": _class_table(scene, values), "watched": _watched_table(scene, seen, clean_total)}
    numbers = {"windows": float(len(scene.windows))}
    return Analysis(tensors=tensors, pictures=pictures, numbers=numbers, tables=tables)


def _clean_total(scene: _Scene) -> float:
    return float(scene.traced.outputs[scene.params.layer][0, scene.unit.map].sum())


def _class_table(scene: _Scene, values: NDArray[np.float64]) -> Table:
    rows = []
    for target, row in zip(scene.targets, values, strict=True):
        label, window = scene.labels[target], scene.windows[int(row.argmin())]
        box = Box(window.x, window.y, window.x + window.width, window.y + window.height)
        there = scene.prepared.geometries[0].to_photo(box)
        place = (there.x0, there.y0, there.x1, there.y1)
        rows.append((label.id, label.name, float(scene.clean[target]), float(row.min()), *place))
    return Table(("label_id", "label", "clean", "lowest", "x0", "y0", "x1", "y1"), tuple(rows))


def _watched_table(scene: _Scene, seen: _Seen, clean_total: float) -> Table:
    row = (scene.params.layer, scene.unit.map, clean_total, float(seen.totals.min()))
    return Table(("layer", "map", "clean_total", "lowest_total"), (row,))


def _value_caption(scene: _Scene, target: int) -> str:
    label, clean = scene.labels[target].name, scene.clean[target]
    return f"{scene.params.value} of '{label}' (clean: {clean:.3g})"


def _pictures(
    scene: _Scene,
    maps: NDArray[np.float32],
    total_map: NDArray[np.float32],
    classes: NDArray[np.int64],
    projection: NDArray[np.float32],
) -> tuple[Picture, ...]:
    view, layer, unit = scene.prepared.views[0], scene.params.layer, scene.unit
    side = {"side_px": _PANEL_PX}
    names = {number: label.name for number, label in enumerate(scene.labels)}
    strength = activation(scene.traced, layer, unit)
    panels = [
        photo_panel(_example(scene), f"(a) the photo, with one of the {_kind(scene.params)}", **side),
        heat_panel(total_map, view, f"(b) total activation of {layer} map {unit.map}", **side),
        photo_panel(
            signed_to_rgb(reorder(projection, scene.model.preprocessing)),
            f"(c) projection of that map's strongest unit ({strength:.3g})",
            **side,
        ),
        *(
            heat_panel(heat, view, f"(d) {_value_caption(scene, target)}", **side)
            for heat, target in zip(maps, scene.targets, strict=True)
        ),
        class_panel(classes, view, names, "(e) likeliest class", **side),
    ]
    drawn = figure(
        panels,
        title=f"Occlusion, by {scene.model.name}",
        subtitle=_subtitle(scene),
        scale=f"{_HEAT_NOTE}; projection: grey is zero, on a symmetric scale",
    )
    return (picture("occlusion", drawn),)


def _example(scene: _Scene) -> NDArray[np.uint8]:
    """Cover the middle one of the windows, in pixels: uint8 (H, W, 3)."""
    view: NDArray[np.uint8] = scene.prepared.views[0].copy()
    window = scene.windows[len(scene.windows) // 2]
    mask = np.asarray(window.mask)[..., None]
    view[window.area] = np.where(mask, scene.cover[window.area], view[window.area])
    return view


def _kind(params: OccludeParams) -> str:
    return "boxes" if params.boxes else "masks" if params.masks else "windows"


def _subtitle(scene: _Scene) -> str:
    params, kind = scene.params, _kind(scene.params)
    size = f" of {params.window} px, every {params.stride} px" if kind == "windows" else ""
    what = f"{len(scene.windows)} {kind}{size}, filled with {params.fill}"
    return f"{what}; a pixel shows the mean over the {kind} that cover it"
