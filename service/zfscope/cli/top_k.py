"""`zfscope top-k`: the photos of an index that activate maps most (Fig 2)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli.analyze import as_object, write
from zfscope.cli.connect import connect
from zfscope.cli.numbers import read_numbers
from zfscope.cli.options import AsJson, Indexes, ModelName, ModelVersion, Server, Store
from zfscope.cli.output import print_json, print_table, print_warnings, progress, title_of
from zfscope.cli.output_folder import about_layer, open_output
from zfscope.cli.streams import echo
from zfscope.records import RecordState

if TYPE_CHECKING:
    from zfscope.client import Analyzed, ClientMethods


def top_k(
    index: Annotated[
        str, typer.Option(metavar="NAME", help="Made by `zfscope index`.  [default: the model's only one]")
    ] = "",
    layer: Annotated[str, typer.Option(help="Whose maps: any that the index has.")] = "conv5",
    maps: Annotated[
        str, typer.Option(metavar="MAP,...", help="Which maps.  [default: the strongest]", show_default=False)
    ] = "",
    count: Annotated[
        int | None, typer.Option(metavar="N", help="How many of the strongest maps, 1 to 64.  [default: 9]")
    ] = None,
    first: Annotated[
        int | None, typer.Option(metavar="N", help="Pass over so many of the strongest.  [default: 0]")
    ] = None,
    top: Annotated[
        int | None, typer.Option(metavar="N", help="How many photos of each map, 1 to 9.  [default: 9]")
    ] = None,
    control: Annotated[
        bool, typer.Option("--control", help="Project through randomised weights too, beside.")
    ] = False,
    control_down_to: Annotated[
        str, typer.Option(help="Of the control: randomise down to this layer only.  [default: all]")
    ] = "",
    tensors: Annotated[bool, typer.Option("--tensors", help="Write the numbers too, as .npy.")] = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write to.")] = Path("top-k"),
    indexes: Indexes = None,
    model: ModelName = "",
    version: ModelVersion = None,
    store: Store = None,
    server: Server = "",
    as_json: AsJson = False,
) -> None:
    """Show the photos of an index that activate maps most: projections beside the patches they come from.

    The photos are read again from where they were when the index was made. What is no longer as it was is
    marked in the picture and in the table.

    \b
    Examples:
      zfscope top-k --layer conv5 --out seen
      zfscope top-k --layer conv2 --count 64 --first 64
      zfscope top-k --layer conv5 --maps 3,17,240 --top 4 --control
      zfscope top-k --model zfnet-imagenette --index val --server localhost:50051 --json
    """
    asked = {
        "count": count,
        "first": first,
        "top": top,
        "maps": read_numbers("maps", maps, such_as="3,17,240"),
    }
    words = {"index": index, "layer": layer, "control": control, "control_down_to": control_down_to}
    parameters = words | {name: value for name, value in asked.items() if value is not None}
    with connect(server, store, indexes=indexes) as zfscope, open_output(out) as folder:
        found = _analyze(zfscope, parameters, model=model, version=version, tensors=tensors)
        files = write(folder, about_layer(layer), found)
    if as_json:
        print_json(as_object(found, files))
    else:
        print_warnings(found.warnings)
        print_maps(layer, found, files)


def _analyze(zfscope: "ClientMethods", parameters: dict[str, Any], **about: Any) -> "Analyzed":
    with progress() as bar:
        task = bar.add_task("photos", total=100)
        return zfscope.analyze(
            "top-k",
            [],
            parameters,
            progress=lambda told: bar.update(task, completed=int(100 * told.fraction)),
            **about,
        )


def print_maps(layer: str, found: "Analyzed", files: list[Path]) -> None:
    """Print a line for each map, and one for each record that is no longer what it was."""
    records = found.analysis.tables["records"].records()
    columns = dict.fromkeys(("map", "active in", "activations"), "right") | {"strongest photo": "left"}
    rows = []
    for about in found.analysis.tables["maps"].records():
        own = [record for record in records if record["map"] == about["map"]]
        rows.append((f"{about['map']}", f"{about['alive']:,} of {about['images']:,}", *_strength(own, about)))
    print_table(f"{layer} of {title_of(found.model, found.version)}", columns, rows)
    lost = [record for record in records if RecordState(record["state"]).lost]
    for record in lost:
        echo(f"map {record['map']}, photo {record['rank'] + 1}: {record['state']}: {record['path']}")
    echo(f"All of it in one picture: {files[0]}")


def _strength(records: list[dict[str, Any]], about: dict[str, Any]) -> tuple[str, str]:
    """Give the range of a map's activations, and its strongest photo."""
    values = [record["value"] for record in records if record["value"] > 0]
    if about["dead"] or not values:
        return "dead" if about["dead"] else "", ""
    return f"{max(values):.3g} to {min(values):.3g}", records[0]["path"]
