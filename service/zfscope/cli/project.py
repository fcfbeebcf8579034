"""`zfscope project`: what the units of a layer saw in a photo."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli.connect import connect
from zfscope.cli.options import AsJson, ModelName, ModelVersion, PhotoFiles, Rank, Server, Store
from zfscope.cli.output import (
    print_json,
    print_table,
    print_warnings,
    size_json,
    title_of,
    warnings_json,
)
from zfscope.cli.output_folder import OutputFolder, about_photo, model_id, open_output
from zfscope.cli.photos import for_each, is_single, listed, print_failed, read_photo
from zfscope.cli.streams import echo
from zfscope.errors import InputError

if TYPE_CHECKING:
    from zfscope.cli.files import Files
    from zfscope.client import Projection, Projections, ProjectOptions


class Rule(StrEnum):
    """What rectifiers do on the way down."""

    deconvnet = "deconvnet"
    guided = "guided"
    gradient = "gradient"


class Normalisation(StrEnum):
    """What contrast normalisations do on the way down."""

    skip = "skip"
    gradient = "gradient"


def project(
    photos: PhotoFiles,
    layer: Annotated[str, typer.Option(help="Of the units: any of the network, such as conv1.")] = "conv5",
    top: Annotated[
        int | None, typer.Option(help="Take the strongest unit of each of so many maps.  [default: 9]")
    ] = None,
    unit: Annotated[
        list[str] | None,
        typer.Option(metavar="MAP[:Y:X]", help="Take this unit, or this map's strongest; may be repeated."),
    ] = None,
    rank: Annotated[Rank, typer.Option(help="Maps are strong by their maximum or their sum.")] = Rank.max,
    rule: Annotated[Rule, typer.Option(help="What rectifiers do on the way down.")] = Rule.deconvnet,
    normalisation: Annotated[
        Normalisation, typer.Option(help="What contrast normalisations do on the way down.")
    ] = Normalisation.skip,
    control: Annotated[
        bool, typer.Option("--control", help="Project through randomised weights too, beside.")
    ] = False,
    control_down_to: Annotated[
        str, typer.Option(help="Of the control: randomise down to this layer only.  [default: all]")
    ] = "",
    tensors: Annotated[bool, typer.Option("--tensors", help="Write the numbers too, as .npy.")] = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write to.")] = Path("projections"),
    model: ModelName = "",
    version: ModelVersion = None,
    store: Store = None,
    server: Server = "",
    as_json: AsJson = False,
) -> None:
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
    options: ProjectOptions = {
        "model": model,
        "layer": layer,
        "rank": rank.value,
        "rule": rule.value,
        "normalisation": normalisation.value,
        "control": control,
        "control_down_to": control_down_to,
        "tensors": tensors,
    }
    add_choices(options, version, top, unit)
    single = is_single(photos)
    data = {photos[0]: read_photo(photos[0])} if single else {}
    with connect(server, store) as zfscope, open_output(out) as folder:

        def one(path: Path, photo: bytes) -> None:
            seen = zfscope.project(photo, **options)
            sheet, written = _write(folder, path, photo, seen, layer=layer)
            if as_json:
                print_json(({} if single else {"file": str(path)}) | as_object(seen, sheet, written))
            else:
                print_warnings(seen.warnings, prefix="" if single else f"{path}: ")
                _print(path, seen, sheet, written)

        if single:
            one(photos[0], data[photos[0]])
        else:
            for_each(listed(photos), one, failed=print_failed if as_json else None)


def _write(
    folder: OutputFolder, path: Path, photo: bytes, seen: "Projections", *, layer: str
) -> "tuple[Path | None, Written]":
    """Write all files of a photo; return that of the sheet, and those of each projection."""
    from zfscope.cli.files import contents, files_of, sheet_name

    subject = about_photo(path, photo, models=(model_id(seen.model, seen.version),))
    written = folder.write(subject, contents(seen, layer=layer))
    return written.get(sheet_name(layer)), [(item, files_of(item, written)) for item in seen.projections]


def add_choices(
    options: "ProjectOptions", version: int | None, top: int | None, units: list[str] | None
) -> None:
    """Add what was chosen to the options; what was not keeps its default, which is not known here.

    Raises InputError for what is no unit, and for both units and a number of maps.
    """
    from zfscope.cli.units import parse_unit

    if units and top is not None:
        raise InputError(f"--top {top} and --unit were both given; give one of the two", field="top")
    if version is not None:
        options["version"] = version
    if top is not None:
        options["top"] = top
    if units:
        options["units"] = [parse_unit(unit) for unit in units]


Written = list[tuple["Projection", "Files"]]
"""Projections and the files that they went to."""


def as_object(seen: "Projections", sheet: Path | None, written: Written) -> dict[str, Any]:
    """Give an answer as a JSON object; files by their paths."""
    return {
        "model": seen.model,
        "version": seen.version,
        "photo": size_json(seen.photo_size),
        "sheet": _path(sheet),
        "projections": [
            {
                "layer": item.layer,
                "map": item.map,
                "y": item.y,
                "x": item.x,
                "activation": item.activation,
                "receptive_field": {
                    "x0": item.receptive_field.x0,
                    "y0": item.receptive_field.y0,
                    "x1": item.receptive_field.x1,
                    "y1": item.receptive_field.y1,
                },
                "picture": _path(files.picture),
                "tensor": _path(files.tensor),
                "control_tensor": _path(files.control_tensor),
                "control_ssim": item.control_ssim,
                "control_rank_correlation": item.control_rank_correlation,
            }
            for item, files in written
        ],
        "warnings": warnings_json(seen.warnings),
    }


def _print(photo: Path, seen: "Projections", sheet: Path | None, written: Written) -> None:
    columns = {"unit": "left", "activation": "right", "looked at, of the photo": "left", "picture": "left"}
    rows = [
        (_unit(item), f"{item.activation:.3f}", _box(item), files.picture.name if files.picture else "")
        for item, files in written
    ]
    print_table(f"{photo.name}, by {title_of(seen.model, seen.version)}", columns, rows)
    if sheet:
        echo(f"All on one sheet: {sheet}")


def _unit(item: "Projection") -> str:
    place = "" if item.y is None else f" at row {item.y}, column {item.x}"
    return f"{item.layer} map {item.map}{place}"


def _box(item: "Projection") -> str:
    box = item.receptive_field
    return f"columns {box.x0:.0f} to {box.x1:.0f}, rows {box.y0:.0f} to {box.y1:.0f}"


def _path(path: Path | None) -> str | None:
    return str(path) if path else None
