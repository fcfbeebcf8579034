"""`zfscope project`: project unit activations back to the pixels of a photo."""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfscope.cli import options as opt
from zfscope.cli.analysis import AnalysisRunner, ResultView, WrittenFiles, analysis, each_photo
from zfscope.cli.command import option
from zfscope.cli.output import print_table, result_json, title_of
from zfscope.cli.output_folder import npy, photo_subject, picture_file, written_path
from zfscope.cli.streams import echo
from zfscope.errors import InputError
from zfscope.text import safe_name

if TYPE_CHECKING:
    from zfscope.client import Box, Projection, Projections, Unit

_UNIT = re.compile(r"(\d{1,9})(?::(\d{1,9}):(\d{1,9}))?")
# Files of a projection: the end of the name and the encoder, by field.
_FILES: dict[str, tuple[str, Callable[[Any], bytes]]] = {
    "picture": (".png", lambda picture: picture.png),
    "tensor": (".npy", npy),
    "control_tensor": ("-control.npy", npy),
}


class Rule(StrEnum):
    """Rule for rectifiers in the backward pass."""

    deconvnet = "deconvnet"
    guided = "guided"
    gradient = "gradient"


class Normalisation(StrEnum):
    """Rule for contrast normalisation layers in the backward pass."""

    skip = "skip"
    gradient = "gradient"


def parse_unit(text: str) -> "Unit":
    """Parse `12` (strongest unit of map 12) or `12:3:4` (its unit in row 3, column 4). Raises InputError."""
    from zfscope.answers import Unit

    match = _UNIT.fullmatch(text)
    if not match:
        message = f"'{text}' is not a valid unit; use MAP (its strongest unit) or MAP:Y:X, as in 12 or 12:3:4"
        raise InputError(message, field="unit")
    number, y, x = match.groups()
    return Unit(int(number)) if y is None else Unit(int(number), int(y), int(x))


_PARAMETERS = opt.parameters_by_name(
    option("layer", str, "Layer of the units.  [default: the last convolution]", "", metavar="LAYER"),
    option("top", int | None, "Number of strongest maps to project from.  [default: 9]", metavar="N"),
    option(
        "unit",
        list[Any] | None,
        "Unit to project instead: a map's strongest, or the one at row Y, column X. May be repeated.",
        metavar="MAP[:Y:X]",
        parser=parse_unit,
    ),
    option("rank", opt.Rank, "Rank maps by the maximum or the sum of their activations.", opt.Rank.max),
    option("rule", Rule, "Backward rule for rectifiers.", Rule.deconvnet),
    option("normalisation", Normalisation, "Backward rule for contrast normalisation.", Normalisation.skip),
    *opt.CONTROL,
)


@analysis("projections", _PARAMETERS, leave_out=("indexes",))
def project(run: AnalysisRunner, parameters: dict[str, Any], photos: opt.PhotoFiles) -> None:
    """Project unit activations back to the pixels of a photo.

    Write one picture per unit and a sheet of all. File names start with the photo's name, as in
    china-conv5.png. They replace an earlier result for the same photo, layer and model; results of a second
    model also contain its name. With several photos or a folder, --json prints one object per line, with the
    photo's path as `file`.

    \b
    Examples:
      zfscope project china.jpg --layer conv5 --top 9 --out seen
      zfscope project china.jpg --layer conv3 --unit 12 --unit 40:6:7 --control
      zfscope project china.jpg --layer conv4 --server localhost:50051 --json
    """
    if "unit" in parameters and "top" in parameters:
        message = f"--top {parameters['top']} cannot be combined with --unit; pass one of the two"
        raise InputError(message, field="top")
    if "unit" in parameters:
        parameters["units"] = parameters.pop("unit")

    def project_photo(path: Path, photo: bytes, file: Path | None) -> None:
        view = ResultView(
            lambda _: photo_subject(path, photo), contents, as_object, partial(_show, photo=path)
        )
        run.run(partial(run.client.project, photo, **parameters, **run.options), view, file=file)

    each_photo(photos, project_photo, as_json=run.as_json)


def contents(result: "Projections") -> dict[str, bytes]:
    """Return the files by name: pictures as PNG, tensors as .npy, float32 (C, H, W)."""
    files = {_sheet(result): result.sheet.png} if result.sheet else {}
    for item in result.projections:
        for field, (ending, data) in _FILES.items():
            if (value := getattr(item, field)) is not None:
                files[f"{_name(item)}{ending}"] = data(value)
    return files


def as_object(result: "Projections", written: WrittenFiles) -> dict[str, Any]:
    """Convert projections to a JSON object that lists files by path."""
    projections = [
        {
            **vars(item),
            "receptive_field": vars(item.receptive_field),
            **{field: _path(item, field, written) for field in _FILES},
        }
        for item in result.projections
    ]
    return result_json(result, sheet=written_path(written, _sheet(result)), projections=projections)


def _show(result: "Projections", written: WrittenFiles, *, photo: Path) -> None:
    columns = {"unit": "left", "activation": "right", "receptive field": "left", "picture": "left"}
    rows = [
        (
            _unit(item),
            f"{item.activation:.3f}",
            box_text(item.receptive_field),
            Path(_path(item, "picture", written) or "").name,
        )
        for item in result.projections
    ]
    print_table(f"{photo.name}, by {title_of(result.model, result.version, result.precision)}", columns, rows)
    if sheet := written.get(_sheet(result)):
        echo(f"Sheet of all projections: {sheet}")


def _unit(item: "Projection") -> str:
    position = "" if item.y is None else f" at row {item.y}, column {item.x}"
    return f"{item.layer} map {item.map}{position}"


def box_text(box: "Box") -> str:
    """Return a box of the photo as text, in whole pixels."""
    return f"columns {box.x0:.0f} to {box.x1:.0f}, rows {box.y0:.0f} to {box.y1:.0f}"


def _sheet(seen: "Projections") -> str:
    """Return the file name of the sheet of all projections."""
    return picture_file(seen.projections[0].layer)


def _name(item: "Projection") -> str:
    """Return the start of a projection's file names: LAYER-MAP, or LAYER-MAP-Y-X."""
    index = [item.map] if item.y is None or item.x is None else [item.map, item.y, item.x]
    return "-".join([safe_name(item.layer), *map(str, index)])


def _path(item: "Projection", field: str, written: WrittenFiles) -> str | None:
    return written_path(written, f"{_name(item)}{_FILES[field][0]}")
