"""What a user asks for, as requests of the wire."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from google.protobuf import struct_pb2
from google.protobuf.descriptor import EnumDescriptor
from numpy.typing import NDArray

from zfscope.client.answers import Unit
from zfscope.client.arrays import ArrayLike, PixelTensor, array_to_wire, is_array
from zfscope.client.files import File, check_size, contents, is_file
from zfscope.errors import InputError
from zfscope.images.geometry import Box
from zfscope.v1 import analysis_pb2, image_pb2
from zfscope.wire.enums import enum_to_wire

Photo = File | NDArray[Any] | ArrayLike | PixelTensor
"""A file; pixels, uint8 (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey; the network's own input, normalised,
float (3, H, W); a tensor of torch or another library of the same; or a `PixelTensor`, which the service
normalises."""

_PROJECT_ENUMS = {
    "rank": analysis_pb2.Rank.DESCRIPTOR,
    "rule": analysis_pb2.Rule.DESCRIPTOR,
    "normalisation": analysis_pb2.Normalisation.DESCRIPTOR,
}
_OCCLUDE_ENUMS = {"value": analysis_pb2.ClassValue.DESCRIPTOR, "method": analysis_pb2.Method.DESCRIPTOR}


class ProjectOptions(TypedDict, total=False):
    """What `Client.project` may be told; what is left out gets the service's default.

    model, version:  which model; the service's default one, its newest version.
    layer:           of the units; conv5.
    units:           which units; the strongest one of each of the `top` strongest maps.
    top:             how many maps, when no units are given; 9.
    rank:            by what maps are strong: `max`, or `sum` of their activations; max.
    rule:            what rectifiers do on the way down: `deconvnet`, `guided`, `gradient`; deconvnet.
    normalisation:   what contrast normalisations do on the way down: `skip`, `gradient`; skip.
    control:         whether to project through randomised weights too; no.
    control_down_to: the first layer that the control randomises; all of them are.
    pictures:        whether to get pictures; yes.
    tensors:         whether to get the projections as numbers; no.
    """

    model: str
    version: int
    layer: str
    units: Sequence[Unit]
    top: int
    rank: str
    rule: str
    normalisation: str
    control: bool
    control_down_to: str
    pictures: bool
    tensors: bool


def project_request(photo: Photo, options: ProjectOptions) -> analysis_pb2.ProjectRequest:
    """Write a request. Raises InputError for a photo or an option that cannot be sent."""
    fields = _fields(options, _PROJECT_ENUMS)
    if "units" in fields:
        fields["units"] = [analysis_pb2.UnitRef(map=unit.map, y=unit.y, x=unit.x) for unit in fields["units"]]
    return analysis_pb2.ProjectRequest(image=image_to_wire(photo), **fields)


class OccludeOptions(TypedDict, total=False):
    """What `Client.occlude` may be told; what is left out gets the service's default.

    model, version:  which model; the service's default one, its newest version.
    window, stride:  of the square that covers, in pixels of the network's input; 32 and 8.
    boxes:           rectangles in pixels of the photo to cover instead of a sliding window.
    masks:           or these: image files (bytes or paths) as large as the photo, after EXIF orientation,
                     of which pixels lighter than 127 are covered.
    fill:            what covers: `grey` (128), `mean` (the mean colour of the network's crop of this photo),
                     `blur` (that crop, blurred), or a colour as #rrggbb; grey.
    classes:         labels, or their ids, to watch; the photo's likeliest.
    value:           what is read of them: `probability`, `logit`; probability.
    layer, map:      the map to watch; the strongest one of relu5.
    method:          `incremental`, or `full` passes; incremental.
    control:         whether to project the map's strongest unit through randomised weights too; no.
    control_down_to: the first layer that the control randomises; all of them are.
    pictures:        whether to get the picture; yes.
    tensors:         whether to get the numbers of every window, and the maps; no.
    """

    model: str
    version: int
    window: int
    stride: int
    boxes: Sequence[Box]
    masks: Sequence[File]
    fill: str
    classes: Sequence[str]
    value: str
    layer: str
    map: int
    method: str
    control: bool
    control_down_to: str
    pictures: bool
    tensors: bool


def occlude_request(photo: Photo, options: OccludeOptions) -> analysis_pb2.OccludeRequest:
    """Write what `Client.occlude` was told.

    Raises InputError for a word that is none of those allowed, and for a mask that cannot be read.
    """
    fields = _fields(options, _OCCLUDE_ENUMS)
    boxes, masks = _boxes(fields.pop("boxes", ())), _masks(fields.pop("masks", ()))
    return analysis_pb2.OccludeRequest(image=image_to_wire(photo), boxes=boxes, masks=masks, **fields)


class InvarianceOptions(TypedDict, total=False):
    """What `Client.measure_invariance` may be told; what is left out gets the service's default.

    model, version:  which model; the service's default one, its newest version.
    transformations: what is done, one at a time: `vertical`, `horizontal` (moves), `scale`, `rotation`;
                     all but the horizontal one.
    translations_px: moves in pixels of the network's input, positive down or to the right; -60 to 60 by 6.
    scales:          ratios, 2 shows everything twice as large; 0.6 to 1.8 by 0.1.
    rotations_deg:   angles, positive counter-clockwise; 0 to 350 by 10.
    layers:          where features are compared; relu1 and relu7.
    fill:            what comes in where there is no photo: `mean` (the colour that the model's preprocessing
                     takes off), `grey` (128), `black` (0), `edge` (the photo's own, repeated); mean.
    labels:          the true class of each photo, by label or its id, "" for the likeliest; that one.
    pictures:        whether to get the picture; yes.
    tensors:         whether to get the numbers as tensors too; no.
    """

    model: str
    version: int
    transformations: Sequence[str]
    translations_px: Sequence[float]
    scales: Sequence[float]
    rotations_deg: Sequence[float]
    layers: Sequence[str]
    fill: str
    labels: Sequence[str]
    pictures: bool
    tensors: bool


def invariance_request(
    photos: Sequence[Photo], options: InvarianceOptions
) -> analysis_pb2.MeasureInvarianceRequest:
    """Write what `Client.measure_invariance` was told. Raises InputError, naming the option."""
    fields = _fields(options, {"fill": analysis_pb2.Fill.DESCRIPTOR})
    fields["transformations"] = [
        enum_to_wire(analysis_pb2.Transformation.DESCRIPTOR, word, field=f"transformations[{place}]")
        for place, word in enumerate(fields.get("transformations", ()))
    ]
    return analysis_pb2.MeasureInvarianceRequest(images=_images_to_wire(photos), **fields)


class CorrespondOptions(TypedDict, total=False):
    """What `Client.correspond` may be told; what is left out gets the service's default.

    model, version:  which model; the service's default one, its newest version.
    layers:          where features are compared; pool5 and relu7.
    random:          how many boxes at random places are the control in each photo, 0 for none; 10.
    seed:            of these places; 0.
    fill:            what covers: `mean` (the colour that the model's preprocessing takes off), `grey` (128),
                     `black` (0); grey.
    pictures:        whether to get the picture; yes.
    tensors:         whether to get the distances of each pair of photos, and the boxes; no.
    """

    model: str
    version: int
    layers: Sequence[str]
    random: int
    seed: int
    fill: str
    pictures: bool
    tensors: bool


def correspond_request(
    photos: Sequence[Photo], parts: Mapping[str, Sequence[Box]], options: CorrespondOptions
) -> analysis_pb2.CorrespondRequest:
    """Write what `Client.correspond` was told. Raises InputError, naming the option."""
    fields = _fields(options, {"fill": analysis_pb2.FillColour.DESCRIPTOR})
    named = [analysis_pb2.Part(name=name, boxes=_boxes(boxes)) for name, boxes in parts.items()]
    return analysis_pb2.CorrespondRequest(images=_images_to_wire(photos), parts=named, **fields)


def compare_request(
    models: Sequence[str], photos: Sequence[Photo], **fields: Any
) -> analysis_pb2.CompareArchitecturesRequest:
    """Write what `Client.compare_architectures` was told.

    Raises InputError for a model that is not NAME or NAME:VERSION, and for a photo that cannot be used.
    """
    if isinstance(models, str):
        raise InputError("one model where a list of them is asked for", field="models")
    return analysis_pb2.CompareArchitecturesRequest(
        models=[_model_ref(words, f"models[{place}]") for place, words in enumerate(models)],
        images=_images_to_wire(photos),
        **fields,
    )


def _model_ref(words: str, field: str) -> analysis_pb2.ModelRef:
    name, _, version = words.partition(":")
    if version and not version.isdecimal():
        raise InputError(f"{field} is '{words}'; a model is named as NAME or NAME:VERSION", field=field)
    return analysis_pb2.ModelRef(name=name, version=int(version) if version else None)


class TopKOptions(TypedDict, total=False):
    """What `Client.top_k` may be told; what is left out gets the service's default.

    model, version:  which model; the service's default one, its newest version.
    index:           which of its indexes; its only one.
    layer:           whose maps; conv5.
    maps:            which maps; the `count` strongest, from `first` on.
    count, first:    how many maps, and how many of the strongest to pass over; 9 and 0.
    top:             how many photos of each map; 9, or all that the index has.
    control:         whether to project through randomised weights too; no.
    control_down_to: the first layer that the control randomises; all of them are.
    pictures:        whether to get the picture; yes.
    tensors:         whether to get projections and patches as numbers; no.
    """

    model: str
    version: int
    index: str
    layer: str
    maps: Sequence[int]
    count: int
    first: int
    top: int
    control: bool
    control_down_to: str
    pictures: bool
    tensors: bool


def top_k_request(options: TopKOptions) -> analysis_pb2.TopKRequest:
    """Write what `Client.top_k` was told. Raises ValueError for a number that a field cannot hold."""
    return analysis_pb2.TopKRequest(**options)


class EvolveOptions(TypedDict, total=False):
    """What `Client.evolve` may be told; what is left out gets the service's default.

    model, version: which model; the service's default one, its newest version.
    index:          which of its indexes, by the name of that of the final weights; its only one.
    layer:          whose maps; conv3.
    maps:           which maps; the `count` strongest at the end, from `first` on.
    count, first:   how many maps, and how many of the strongest to pass over; 6 and 0.
    epochs:         after which epochs, besides the end; all that have an index.
    settling:       whether to measure how fast the maps settle; yes.
    pictures:       whether to get the picture; yes.
    tensors:        whether to get projections and patches as numbers; no.
    """

    model: str
    version: int
    index: str
    layer: str
    maps: Sequence[int]
    count: int
    first: int
    epochs: Sequence[int]
    settling: bool
    pictures: bool
    tensors: bool


def evolve_request(options: EvolveOptions) -> analysis_pb2.EvolveRequest:
    """Write what `Client.evolve` was told. Raises ValueError for a number that a field cannot hold."""
    return analysis_pb2.EvolveRequest(**options)


def analyze_request(
    analyzer: str, photos: Sequence[Photo], parameters: Mapping[str, Any], **fields: Any
) -> analysis_pb2.AnalyzeRequest:
    """Write what `Client.analyze` was told. Raises ValueError for parameters that JSON cannot hold."""
    images = _images_to_wire(photos)
    struct = struct_pb2.Struct()
    struct.update(parameters)
    return analysis_pb2.AnalyzeRequest(analyzer=analyzer, images=images, parameters=struct, **fields)


def _fields(options: Mapping[str, Any], enums: Mapping[str, EnumDescriptor]) -> dict[str, Any]:
    """Give options as fields of a request: words as the values of their enums. Raises InputError."""
    fields = dict(options)
    for name, enum in enums.items():
        if name in fields:
            fields[name] = enum_to_wire(enum, fields[name], field=name)
    return fields


def _boxes(boxes: Iterable[Box]) -> list[image_pb2.Box]:
    return [image_pb2.Box(x0=box.x0, y0=box.y0, x1=box.x1, y1=box.y1) for box in boxes]


def _masks(masks: Sequence[File]) -> list[bytes]:
    """Read masks. Raises InputError, naming the one that cannot be."""
    if is_file(masks):
        raise InputError("one mask where a list of them is asked for: give [mask]", field="masks")
    files = [contents(mask, field=f"masks[{place}]") for place, mask in enumerate(masks)]
    check_size(sum(map(len, files)), "masks")
    return files


def _images_to_wire(photos: Sequence[Photo]) -> list[image_pb2.Image]:
    """Write photos. Raises InputError, naming the one that cannot be used."""
    # One axis: a column of a table, which holds paths.
    if is_file(photos) or isinstance(photos, np.ndarray | PixelTensor) or getattr(photos, "ndim", 1) != 1:
        raise InputError("one photo where a list of them is asked for: give [photo]", field="images")
    images, total = [], 0
    for place, photo in enumerate(photos):
        images.append(image_to_wire(photo, field=f"images[{place}]"))
        total += images[-1].ByteSize()
        check_size(total, "images")
    return images


def image_to_wire(photo: Photo, *, field: str = "image") -> image_pb2.Image:
    """Write a photo. Raises InputError for a path without a file and an array that is no photo.

    field: of the request, for messages.
    """
    given: Any = photo
    if is_array(given) and not is_file(given):
        return array_to_wire(given, field)
    return image_pb2.Image(encoded=contents(given, field=field))
