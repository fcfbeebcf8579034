"""`zfscope project`: what the units of a layer saw in a photo."""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfscope.cli import options as opt
from zfscope.cli.analysis import Analyses, View, Written, analysis, each_photo
from zfscope.cli.command import option
from zfscope.cli.output import answer_json, print_table, title_of
from zfscope.cli.output_folder import about_photo, npy, plain
from zfscope.cli.streams import echo
from zfscope.errors import InputError

if TYPE_CHECKING:
    from zfscope.client import Projection, Projections, Unit

_UNIT = re.compile(r"(\d{1,9})(?::(\d{1,9}):(\d{1,9}))?")
# The files of a projection: how their names end, and what is in them.
_FILES: dict[str, tuple[str, Callable[[Any], bytes]]] = {
    "picture": (".png", lambda picture: picture.png),
    "tensor": (".npy", npy),
    "control_tensor": ("-control.npy", npy),
}


class Rule(StrEnum):
    """What rectifiers do on the way down."""

    deconvnet = "deconvnet"
    guided = "guided"
    gradient = "gradient"


class Normalisation(StrEnum):
    """What contrast normalisations do on the way down."""

    skip = "skip"
    gradient = "gradient"


def parse_unit(text: str) -> "Unit":
    """Read `12` (the strongest unit of map 12) or `12:3:4` (row 3, column 4). Raises InputError."""
    from zfscope.answers import Unit

    found = _UNIT.fullmatch(text)
    if not found:
        message = f"no unit '{text}'; allowed are MAP (its strongest unit) and MAP:Y:X, such as 12 or 12:3:4"
        raise InputError(message, field="unit")
    number, y, x = found.groups()
    return Unit(int(number)) if y is None else Unit(int(number), int(y), int(x))


_PARAMETERS = opt.by_name(
    option("layer", str, "Layer of the units: any of the network, such as conv1.", "conv5"),
    option("top", int | None, "Number of maps whose strongest unit is taken.  [default: 9]"),
    option(
        "unit",
        list[Any] | None,
        "Take this unit, or this map's strongest; may be repeated.",
        metavar="MAP[:Y:X]",
        parser=parse_unit,
    ),
    option("rank", opt.Rank, "Maps are strong by their maximum or their sum.", opt.Rank.max),
    option("rule", Rule, "What rectifiers do on the way down.", Rule.deconvnet),
    option(
        "normalisation", Normalisation, "What contrast normalisations do on the way down.", Normalisation.skip
    ),
    *opt.CONTROL,
)


@analysis("projections", _PARAMETERS, leave_out=("indexes",))
def project(run: Analyses, parameters: dict[str, Any], photos: opt.PhotoFiles) -> None:
    """Show what units saw in a photo, as pictures in a folder.

    The files of a photo begin with its name, as in china-conv5.png. Those of an earlier result for the same
    photo, layer and model are replaced; those of another model have its name too. Several photos, or a
    folder, are projected one after the other; with --json each is an object a line, with the photo's path
    as `file`.

    \b
    Examples:
      zfscope project china.jpg --layer conv5 --top 9 --out seen
      zfscope project china.jpg --layer conv3 --unit 12 --unit 40:6:7 --control
      zfscope project china.jpg --layer conv4 --server localhost:50051 --json
    """
    if "unit" in parameters and "top" in parameters:
        message = f"--top {parameters['top']} and --unit were both given; give one of the two"
        raise InputError(message, field="top")
    if "unit" in parameters:
        parameters["units"] = parameters.pop("unit")
    layer = parameters["layer"]

    def one(path: Path, photo: bytes, file: Path | None) -> None:
        data, shown = partial(contents, layer=layer), partial(as_object, layer=layer)
        view = View(lambda _: about_photo(path, photo), data, shown, partial(_show, photo=path, layer=layer))
        run.run(partial(run.zfscope.project, photo, **parameters, **run.options), view, file=file)

    each_photo(photos, one, as_json=run.as_json)


def contents(seen: "Projections", *, layer: str) -> dict[str, bytes]:
    """Return the contents of all files by name: pictures as PNG, tensors as .npy, float32 (3, H, W)."""
    found = {_sheet(layer): seen.sheet.png} if seen.sheet else {}
    for item in seen.projections:
        for field, (ending, data) in _FILES.items():
            if (value := getattr(item, field)) is not None:
                found[f"{_name(item)}{ending}"] = data(value)
    return found


def as_object(seen: "Projections", written: Written, *, layer: str) -> dict[str, Any]:
    """Return an answer as a JSON object; files by their paths."""
    projections = [
        {
            **vars(item),
            "receptive_field": vars(item.receptive_field),
            **{field: _path(item, field, written) for field in _FILES},
        }
        for item in seen.projections
    ]
    sheet = written.get(_sheet(layer))
    return answer_json(seen, sheet=str(sheet) if sheet else None, projections=projections)


def _show(seen: "Projections", written: Written, *, photo: Path, layer: str) -> None:
    columns = {"unit": "left", "activation": "right", "looked at, of the photo": "left", "picture": "left"}
    rows = [
        (_unit(item), f"{item.activation:.3f}", _box(item), Path(_path(item, "picture", written) or "").name)
        for item in seen.projections
    ]
    print_table(f"{photo.name}, by {title_of(seen.model, seen.version)}", columns, rows)
    if _sheet(layer) in written:
        echo(f"All on one sheet: {written[_sheet(layer)]}")


def _unit(item: "Projection") -> str:
    place = "" if item.y is None else f" at row {item.y}, column {item.x}"
    return f"{item.layer} map {item.map}{place}"


def _box(item: "Projection") -> str:
    box = item.receptive_field
    return f"columns {box.x0:.0f} to {box.x1:.0f}, rows {box.y0:.0f} to {box.y1:.0f}"


def _sheet(layer: str) -> str:
    """Return the name of the file of the sheet of all projections."""
    return f"{plain(layer)}.png"


def _name(item: "Projection") -> str:
    """Return how the names of a projection's files begin: LAYER-MAP, or LAYER-MAP-Y-X."""
    place = [item.map] if item.y is None or item.x is None else [item.map, item.y, item.x]
    return "-".join([plain(item.layer), *map(str, place)])


def _path(item: "Projection", field: str, written: Written) -> str | None:
    """Return the path of a projection's file, None for one that was not written."""
    path = written.get(f"{_name(item)}{_FILES[field][0]}")
    return str(path) if path else None
