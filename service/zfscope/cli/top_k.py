"""`zfscope top-k`: show the photos in an index that activate maps most (Fig 2)."""

from typing import TYPE_CHECKING, Any

from zfscope.cli import options as opt
from zfscope.cli.analysis import (
    AnalysisRunner,
    WrittenFiles,
    analysis,
    layer_of,
    picture_line,
    subject_of_layer,
)
from zfscope.cli.command import option
from zfscope.cli.output import print_table, title_of
from zfscope.cli.streams import echo
from zfscope.records import RecordState

if TYPE_CHECKING:
    from zfscope.client import Analyzed

_PARAMETERS = opt.parameters_by_name(
    option(
        "index",
        str,
        "Index, built by `zfscope index`.  [default: the model's only index]",
        "",
        metavar="NAME",
    ),
    option("layer", str, "Layer of the maps.  [default: the last indexed convolution]", "", metavar="LAYER"),
    opt.numbers_option("maps", "Maps to show.  [default: the strongest]", example="3,17,240"),
    option("count", int | None, "Number of the strongest maps, 1 to 64.  [default: 9]", metavar="N"),
    opt.FIRST,
    option("top", int | None, "Number of photos per map, 1 to 9.  [default: 9]", metavar="N"),
    *opt.CONTROL,
)


@analysis("top-k", _PARAMETERS)
def top_k(run: AnalysisRunner, parameters: dict[str, Any]) -> None:
    """Show the photos in an index that activate each map most.

    The figure shows each projection next to its image patch. Photos are read again from their indexed paths;
    photos that are missing or have changed since are marked in the figure and the table.

    \b
    Examples:
      zfscope top-k --layer conv5 --out seen
      zfscope top-k --layer conv2 --count 64 --first 64
      zfscope top-k --layer conv5 --maps 3,17,240 --top 4 --control
      zfscope top-k --model zfnet-imagenette --index val --server localhost:50051 --json
    """
    run.analyze("top-k", [], parameters, subject_of_layer, print_maps, stage="photos")


def print_maps(analyzed: "Analyzed", written: WrittenFiles) -> None:
    """Print a row per map, and a line per record whose photo is missing or has changed."""
    records = analyzed.analysis.tables["records"].records()
    columns = dict.fromkeys(("map", "active in", "activations"), "right") | {"strongest photo": "left"}
    rows = []
    for summary in analyzed.analysis.tables["maps"].records():
        own = [record for record in records if record["map"] == summary["map"]]
        active = f"{summary['alive']:,} of {summary['images']:,}"
        rows.append((f"{summary['map']}", active, *_strength(own, summary)))
    print_table(f"{layer_of(analyzed)} of {title_of(analyzed.model, analyzed.version)}", columns, rows)
    lost = [record for record in records if RecordState(record["state"]).lost]
    for record in lost:
        echo(f"map {record['map']}, photo {record['rank'] + 1}: {record['state']}: {record['path']}")
    echo(picture_line(written))


def _strength(records: list[dict[str, Any]], summary: dict[str, Any]) -> tuple[str, str]:
    """Return the range of a map's activations and the path of its strongest photo."""
    values = [record["value"] for record in records if record["value"] > 0]
    if summary["dead"] or not values:
        return "dead" if summary["dead"] else "", ""
    return f"{max(values):.3g} to {min(values):.3g}", records[0]["path"]
