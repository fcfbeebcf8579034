"""`zfscope top-k`: show the photos in an index that activate maps most (Fig 2)."""

from itertools import pairwise
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

# Bars of a histogram, from no photo to the fullest bin; and the maximum number of bars, and of named classes.
_BARS = " ▁▂▃▄▅▆▇█"
_MAX_BARS, _MAX_CLASSES = 10, 2

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

    The table also shows a histogram of each map's maxima over all photos that activate it, on a
    logarithmic scale, and the classes of its strongest photos; --json has the numbers.

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
    records, histograms, classes = (_rows(analyzed, name) for name in ("records", "histograms", "classes"))
    columns = dict.fromkeys(("map", "active in", "activations"), "right")
    columns |= dict.fromkeys(("maxima", "classes", "strongest photo"), "left")
    rows = []
    for summary in analyzed.analysis.tables["maps"].records():
        own = [record for record in records if record["map"] == summary["map"]]
        active = f"{summary['alive']:,} of {summary['images']:,}"
        strength, strongest = _strength(own, summary)
        of_map = [[row for row in table if row["map"] == summary["map"]] for table in (histograms, classes)]
        bars, named = _bars([row["photos"] for row in of_map[0][1:]]), _named(of_map[1])
        rows.append((f"{summary['map']}", active, strength, bars, named, strongest))
    print_table(
        f"{layer_of(analyzed)} of {title_of(analyzed.model, analyzed.version, analyzed.precision)}",
        columns,
        rows,
    )
    lost = [record for record in records if RecordState(record["state"]).lost]
    for record in lost:
        echo(f"map {record['map']}, photo {record['rank'] + 1}: {record['state']}: {record['path']}")
    echo(picture_line(written))


def _rows(analyzed: "Analyzed", table: str) -> list[dict[str, Any]]:
    """Return the rows of a table; none if a service of an earlier version does not send it."""
    tables = analyzed.analysis.tables
    return tables[table].records() if table in tables else []


def _bars(counts: list[int]) -> str:
    """Return a histogram as text, one bar for one or more bins; empty for a dead map."""
    bars = min(len(counts), _MAX_BARS)
    ends = [len(counts) * bar // bars for bar in range(bars + 1)] if bars else []
    sums = [sum(counts[start:end]) for start, end in pairwise(ends)]
    return "".join(_BARS[-(-each * (len(_BARS) - 1) // max(sums))] for each in sums)


def _named(classes: list[dict[str, Any]]) -> str:
    """Return the most frequent classes of a map's strongest photos, such as `church 6, dog 3`."""
    named = [f"{row['class']} {row['photos']}" for row in classes if row["class"]]
    return ", ".join(named[:_MAX_CLASSES]) + (", ..." if len(named) > _MAX_CLASSES else "")


def _strength(records: list[dict[str, Any]], summary: dict[str, Any]) -> tuple[str, str]:
    """Return the range of a map's activations and the path of its strongest photo."""
    values = [record["value"] for record in records if record["value"] > 0]
    if summary["dead"] or not values:
        return "dead" if summary["dead"] else "", ""
    return f"{max(values):.3g} to {min(values):.3g}", records[0]["path"]
