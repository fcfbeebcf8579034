"""`zfscope evolve`: what excites maps most at each stored epoch of the training (Fig 4)."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from zfscope.cli import options as opt
from zfscope.cli.analysis import Analyses, Written, analysis, picture_line
from zfscope.cli.command import option
from zfscope.cli.index import Passes, index_name, photos_indexed, photos_indexed_json
from zfscope.cli.indexes import make_missing
from zfscope.cli.output import print_table, title_of
from zfscope.cli.output_folder import about_layer
from zfscope.cli.streams import echo
from zfscope.errors import InputError
from zfscope.records import RecordState

if TYPE_CHECKING:
    from zfscope.client import Analyzed, ModelSummary
    from zfscope.local import LocalClient
    from zfscope.scan import DataSet
    from zfscope.scan.manifest import IndexManifest
    from zfscope.store import ModelStore

_INDEX = "Index of the final weights.  [default: as DATA is called, or the only one]"
_PARAMETERS = opt.by_name(
    option("index", str, _INDEX, "", metavar="NAME"),
    option("layer", str, "Layer of the maps: a convolutional one.", "conv3"),
    opt.numbers("maps", "Maps to show.  [default: the strongest at the end]", such_as="1,2,5"),
    option("count", int | None, "Number of the strongest maps, 1 to 32.  [default: 6]", metavar="N"),
    opt.FIRST,
    opt.numbers("epochs", "Epochs to show.  [default: all that have an index]", such_as="1,2,5"),
    option("settling", bool, "Measure how fast the maps settle.", True),
)


@analysis("evolved", _PARAMETERS)
def evolve(
    run: Analyses,
    parameters: dict[str, Any],
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DATA]",
            help="Make the indexes that are missing of these photos first, as `zfscope index` does.",
            show_default=False,
        ),
    ] = None,
    device: opt.IndexDevice = opt.DeviceName.cpu,
    server: opt.Server = "",
) -> None:
    """Show what excites maps most after each stored epoch of the training, and how fast they settle.

    The model must have checkpoints, and an index for each: given DATA, those that are missing are made.

    \b
    Examples:
      zfscope evolve photos/train --layer conv4 --out evolved
      zfscope evolve --layer conv2 --maps 1,2 --epochs 1,5,20
      zfscope evolve --model zfnet-imagenette --index train --server localhost:50051 --json
    """
    layer, used, options = parameters["layer"], None, run.options
    if data is not None:
        if server:
            message = "DATA is indexed in this process; index it where the service is, and leave DATA out"
            raise InputError(message, field="data")
        about = run.zfscope.model(options["model"], options["version"]).summary
        options = {"model": about.name, "version": about.version}
        parameters["index"] = index_name(parameters["index"], data)
        models = cast("LocalClient", run.zfscope).store
        used = _make_indexes(models, about, data, parameters, Passes(device=device))
    run.analyze(
        "evolve",
        [],
        parameters,
        lambda _: about_layer(layer),
        partial(_show, layer, photos_indexed(*used) if used else ""),
        more=photos_indexed_json(*used) if used else {},
        stage="epochs",
        **options,
    )


def _make_indexes(
    models: "ModelStore", about: "ModelSummary", data: Path, parameters: Mapping[str, Any], passes: Passes
) -> "tuple[IndexManifest, DataSet] | None":
    """Make the indexes that are missing, of the final weights and of each epoch (default: of all early ones).

    Return the index of the final weights and its photos, None for a model without checkpoints.

    Raises InputError for an index of that name of other photos, and NotFound for a layer or an epoch that
    checkpoints do not keep.
    """
    from zfscope.networks.spec import layers_of_maps
    from zfscope.scan import indexes_folder, make_plan, open_data
    from zfscope.scan.open import read_manifest

    final, photos = models.load(about.name, about.version), open_data(data)
    if not final.manifest.checkpoints:
        return None  # the analyzer says what to do
    spec = layers_of_maps(final.spec)
    base, layer, epochs = parameters["index"], parameters["layer"], parameters.get("epochs")
    by_default = make_plan(spec)
    plan = by_default if layer in by_default.layers else make_plan(spec, [layer])
    wanted = final.manifest.early_epochs if epochs is None else epochs
    make_missing(models, final, photos, base, plan, wanted, passes)
    return read_manifest(indexes_folder(final) / base), photos


def _show(layer: str, used: str, found: "Analyzed", written: Written) -> None:
    records = found.analysis.tables["evolution"].records()
    names = dict.fromkeys(_name(record) for record in records)
    rows = [
        (str(map), *(_cell(record) for record in records if record["map"] == map))
        for map in dict.fromkeys(record["map"] for record in records)
    ]
    if "settling" in found.analysis.tables:
        medians = [row["median"] for row in found.analysis.tables["settling"].records()]
        rows.append(("settled", *("" if each is None else f"{each:.2f}" for each in medians)))
    columns = dict.fromkeys(("map", *names), "right")
    print_table(f"{layer} of {title_of(found.model, found.version)}", columns, rows)
    for record in records:
        if RecordState(record["state"]).lost:
            echo(f"map {record['map']}, {_name(record)}: {record['state']}: {record['path']}")
    echo(picture_line(written))
    if used:
        echo(f"{used}.")


def _name(record: dict[str, Any]) -> str:
    return "end" if record["epoch"] is None else f"epoch {record['epoch']}"


def _cell(record: dict[str, Any]) -> str:
    if record["state"] == "dead":
        return "dead"
    return f"{'jump ' if record['jumped'] else ''}{record['value']:.3g}"
