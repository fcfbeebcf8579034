"""`zfscope analyzers`: list the installed analyzers."""

from typing import TYPE_CHECKING, Any

from zfscope.cli import options as opt
from zfscope.cli.command import remote
from zfscope.cli.connect import connect
from zfscope.cli.output import print_json, print_table
from zfscope.cli.streams import echo

if TYPE_CHECKING:
    from zfscope.client import AnalyzerInfo


@remote
def analyzers(
    model: opt.ModelName = "",
    version: opt.ModelVersion = None,
    store: opt.Store = None,
    server: opt.Server = "",
    as_json: opt.AsJson = False,
) -> None:
    """List the installed analyzers with their package and cost.

    The cost is the number of network passes per photo. Analyzers that cannot run with the model are marked,
    with the reason below the table.

    \b
    Examples:
      zfscope analyzers
      zfscope analyzers --model squeezenet-imagenet
      zfscope analyzers --server localhost:50051 --json
    """
    with connect(server, store) as client:
        infos = client.analyzers(model, version)
    if as_json:
        print_json({"analyzers": [_as_object(info) for info in infos]})
        return
    columns = {"analyzer": "left", "package": "left", "passes per photo": "right", "summary": "left"}
    rows = [
        (
            f"{info.name} (unavailable)" if info.unavailable else info.name,
            f"{info.distribution} {info.version}",
            "" if info.cost is None else f"{info.cost:,}",
            info.summary,
        )
        for info in infos
    ]
    print_table("Analyzers", columns, rows)
    for info in infos:
        if info.unavailable:
            echo(f"Unavailable: {info.unavailable}")
    echo("Run `zfscope analyze NAME --help` for an analyzer's options.")


def _as_object(info: "AnalyzerInfo") -> dict[str, Any]:
    """Convert an analyzer to a JSON object; `photos` is the minimum and maximum number of photos."""
    known = {name: value for name, value in vars(info).items() if name not in ("min_images", "max_images")}
    return {**known, "photos": info.photos}
