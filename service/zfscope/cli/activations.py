"""`zfscope activations`: show the strongest feature maps of a layer for a photo."""

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfscope.cli import options as opt
from zfscope.cli.analysis import AnalysisRunner, ResultView, WrittenFiles, analysis, each_photo
from zfscope.cli.command import option
from zfscope.cli.output import print_table, result_json, title_of
from zfscope.cli.output_folder import npy, photo_subject, picture_file, written_path
from zfscope.cli.project import box_text
from zfscope.cli.streams import echo
from zfscope.errors import InputError
from zfscope.text import safe_name

if TYPE_CHECKING:
    from zfscope.client import Activations, ActiveUnit, Box, Picture

_NUMBER = r"-?\d{1,9}(?:\.\d{0,9})?"
_BOX = re.compile(rf"({_NUMBER}),({_NUMBER}),({_NUMBER}),({_NUMBER})")


def parse_box(text: str) -> "Box":
    """Parse `20,10,300,200`, the edges x0, y0, x1 and y1 of a box. Raises InputError."""
    from zfscope.images.geometry import Box

    match = _BOX.fullmatch(text)
    if not match:
        message = f"'{text}' is not a valid box; use X0,Y0,X1,Y1 in photo pixels, as in 20,10,300,200"
        raise InputError(message, field="box")
    return Box(*map(float, match.groups()))


_PARAMETERS = opt.parameters_by_name(
    option("layer", str, "Layer of the maps.  [default: the last convolution]", "", metavar="LAYER"),
    opt.numbers_option("maps", "Maps to show.  [default: the strongest]", example="3,17,240"),
    option("top", int | None, "Number of strongest maps.  [default: 9]", metavar="N"),
    option("rank", opt.Rank, "Rank maps by the maximum or the sum of their activations.", opt.Rank.max),
    option(
        "y", float | None, "Row of a place in the photo, in its pixels: show the units there.", metavar="Y"
    ),
    option("x", float | None, "Column of that place.", metavar="X"),
    option(
        "box",
        Any,
        "Part of the photo, in its pixels: show the strongest units in it.",
        metavar="X0,Y0,X1,Y1",
        parser=parse_box,
    ),
)


@analysis("activations", _PARAMETERS, leave_out=("indexes",))
def activations(run: AnalysisRunner, parameters: dict[str, Any], photos: opt.PhotoFiles) -> None:
    """Show the strongest feature maps of a layer for a photo.

    Write one picture per map and a sheet of all. With --y and --x, or --box, the maps are those whose units
    are strongest in that part of the photo. File names start with the photo's name, as in
    china-conv5-activations.png. They replace an earlier result for the same photo, layer and model. With
    several photos or a folder, --json prints one object per line, with the photo's path as `file`.

    \b
    Examples:
      zfscope activations china.jpg --layer conv5 --top 16 --out maps
      zfscope activations china.jpg --layer conv3 --y 120 --x 300
      zfscope activations china.jpg --box 80,20,310,200 --rank sum --json
      zfscope activations china.jpg --layer conv4 --maps 3,17 --tensors --server localhost:50051
    """

    def show_photo(path: Path, photo: bytes, file: Path | None) -> None:
        view = ResultView(
            lambda _: photo_subject(path, photo), contents, as_object, partial(_show, photo=path)
        )
        run.run(partial(run.client.activations, photo, **parameters, **run.options), view, file=file)

    each_photo(photos, show_photo, as_json=run.as_json)


def contents(result: "Activations") -> dict[str, bytes]:
    """Return the files by name: pictures as PNG, the maps as .npy, float32."""
    pictures = (result.sheet, *(unit.picture for unit in result.units))
    files = {picture_file(picture.name): picture.png for picture in pictures if picture}
    return files if result.maps is None else {**files, _tensor_file(result): npy(result.maps)}


def as_object(result: "Activations", written: WrittenFiles) -> dict[str, Any]:
    """Convert activations to a JSON object that lists files by path."""
    units = [
        {
            **vars(unit),
            "receptive_field": vars(unit.receptive_field),
            "picture": _path(unit.picture, written),
        }
        for unit in result.units
    ]
    return result_json(
        result,
        layer=result.layer,
        map_count=result.map_count,
        units=units,
        sheet=_path(result.sheet, written),
        maps=written_path(written, _tensor_file(result)),
    )


def _show(result: "Activations", written: WrittenFiles, *, photo: Path) -> None:
    columns = {"map": "left", "rank": "right", "activation": "right", "sum": "right"} | dict.fromkeys(
        ("receptive field", "picture"), "left"
    )
    rows = [
        (
            _unit(unit),
            f"{unit.rank + 1}",
            f"{unit.activation:.3f}",
            f"{unit.total:.3f}",
            box_text(unit.receptive_field),
            Path(_path(unit.picture, written) or "").name,
        )
        for unit in result.units
    ]
    title = f"{photo.name}, {result.layer} of {title_of(result.model, result.version, result.precision)}"
    print_table(f"{title}: {len(result.units)} of {result.map_count:,} maps", columns, rows)
    if sheet := _path(result.sheet, written):
        echo(f"Sheet of all maps: {sheet}")


def _unit(unit: "ActiveUnit") -> str:
    name = f"{unit.map} ({unit.label})" if unit.label else f"{unit.map}"
    return name if unit.y is None else f"{name} at row {unit.y}, column {unit.x}"


def _tensor_file(result: "Activations") -> str:
    return f"{safe_name(result.layer)}-activations.npy"


def _path(picture: "Picture | None", written: WrittenFiles) -> str | None:
    return written_path(written, picture_file(picture.name) if picture else None)
