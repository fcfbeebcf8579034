"""`zfscope top-k`: the photos of an index that activate maps most (Fig 2)."""

from functools import partial
from typing import TYPE_CHECKING, Any

from zfscope.cli import options as opt
from zfscope.cli.analysis import Analyses, Written, analysis, picture_line
from zfscope.cli.command import option
from zfscope.cli.output import print_table, title_of
from zfscope.cli.output_folder import about_layer
from zfscope.cli.streams import echo
from zfscope.records import RecordState

if TYPE_CHECKING:
    from zfscope.client import Analyzed

_PARAMETERS = opt.by_name(
    option("index", str, "Made by `zfscope index`.  [default: the model's only one]", "", metavar="NAME"),
    option("layer", str, "Layer of the maps: any that the index has.", "conv5"),
    opt.numbers("maps", "Maps to show.  [default: the strongest]", such_as="3,17,240"),
    option("count", int | None, "Number of the strongest maps, 1 to 64.  [default: 9]", metavar="N"),
    opt.FIRST,
    option("top", int | None, "Number of photos of each map, 1 to 9.  [default: 9]", metavar="N"),
    *opt.CONTROL,
)


@analysis("top-k", _PARAMETERS)
def top_k(run: Analyses, parameters: dict[str, Any]) -> None:
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
    layer = parameters["layer"]
    show = partial(print_maps, layer)
    run.analyze("top-k", [], parameters, lambda _: about_layer(layer), show, stage="photos")


def print_maps(layer: str, found: "Analyzed", written: Written) -> None:
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
    echo(picture_line(written))


def _strength(records: list[dict[str, Any]], about: dict[str, Any]) -> tuple[str, str]:
    """Return the range of a map's activations, and its strongest photo."""
    values = [record["value"] for record in records if record["value"] > 0]
    if about["dead"] or not values:
        return "dead" if about["dead"] else "", ""
    return f"{max(values):.3g} to {min(values):.3g}", records[0]["path"]
