"""`zfscope evolve`: show the strongest photo of maps at each stored training epoch (Fig 4)."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

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
from zfscope.cli.forward import ForwardOptions, forward_options
from zfscope.cli.index import index_name, photos_indexed, photos_indexed_json
from zfscope.cli.indexes import build_missing_indexes
from zfscope.cli.output import print_table, title_of
from zfscope.cli.streams import echo
from zfscope.errors import InputError
from zfscope.records import RecordState

if TYPE_CHECKING:
    from zfscope.client import Analyzed, ModelSummary
    from zfscope.local import LocalClient
    from zfscope.scan import DataSet
    from zfscope.scan.manifest import IndexManifest
    from zfscope.store import ModelStore

_INDEX = "Index of the final weights.  [default: named after DATA, or the only index]"
_PARAMETERS = opt.parameters_by_name(
    option("index", str, _INDEX, "", metavar="NAME"),
    option(
        "layer",
        str,
        "Convolutional layer of the maps.  [default: the middle indexed convolution]",
        "",
        metavar="LAYER",
    ),
    opt.numbers_option(
        "maps", "Maps to show.  [default: the strongest after the last epoch]", example="1,2,5"
    ),
    option("count", int | None, "Number of the strongest maps, 1 to 32.  [default: 6]", metavar="N"),
    opt.FIRST,
    opt.numbers_option("epochs", "Epochs to show.  [default: all with an index]", example="1,2,5"),
    option("settling", bool, "Measure how fast the maps settle during training.", True),
)


@analysis("evolved", _PARAMETERS)
def evolve(
    run: AnalysisRunner,
    parameters: dict[str, Any],
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="Photos to build missing indexes from, in the formats of `zfscope index`.",
            show_default=False,
        ),
    ] = None,
    device: opt.IndexDevice = opt.DeviceName.cpu,
    precision: opt.Precision = None,
    server: opt.Server = "",
) -> None:
    """Show how feature maps develop over the training epochs.

    For each map, show the photo that activates it most at each stored epoch, and measure how fast the map
    settles. The model needs checkpoints and an index for each; given DATA, missing indexes are built first.

    \b
    Examples:
      zfscope evolve photos/train --layer conv4 --out evolved
      zfscope evolve --layer conv2 --maps 1,2 --epochs 1,5,20
      zfscope evolve --model zfnet-imagenette --index train --server localhost:50051 --json
    """
    used, options = None, run.options
    if data is not None:
        if server:
            message = (
                "DATA cannot be combined with --server; run `zfscope index` on the service's machine instead"
            )
            raise InputError(message, field="data")
        model = run.client.model(options["model"], options["version"]).summary
        options = {"model": model.name, "version": model.version}
        parameters["index"] = index_name(parameters["index"], data)
        models = cast("LocalClient", run.client).store
        used = _build_indexes(models, model, data, parameters, forward_options(device, precision))
    run.analyze(
        "evolve",
        [],
        parameters,
        subject_of_layer,
        partial(_show, photos_indexed(*used) if used else ""),
        more=photos_indexed_json(*used) if used else {},
        stage="epochs",
        **options,
    )


def _build_indexes(
    models: "ModelStore",
    model: "ModelSummary",
    data: Path,
    parameters: Mapping[str, Any],
    forward: ForwardOptions,
) -> "tuple[IndexManifest, DataSet] | None":
    """Build the missing indexes of the final weights and of each epoch (by default, of all early epochs).

    Return the index of the final weights and its photos; None for a model without checkpoints.

    Raises InputError if an index of that name holds other photos, and NotFound for a layer or an epoch that
    the checkpoints lack.
    """
    from zfscope.networks.spec import convolutional_part
    from zfscope.scan import indexes_folder, open_data, plan_scan
    from zfscope.scan.open import read_manifest

    final, photos = models.load(model.name, model.version), open_data(data)
    if not final.manifest.checkpoints:
        return None  # the analyzer raises the error
    spec = convolutional_part(final.spec)
    base, layer, epochs = parameters["index"], parameters["layer"], parameters.get("epochs")
    plan = plan_scan(spec)
    if layer and (full_name := final.spec.layer(layer).name) not in plan.layers:
        plan = plan_scan(spec, [full_name])
    wanted = final.manifest.early_epochs if epochs is None else epochs
    build_missing_indexes(models, final, photos, base, plan, wanted, forward)
    return read_manifest(indexes_folder(final) / base), photos


def _show(used: str, analyzed: "Analyzed", written: WrittenFiles) -> None:
    records = analyzed.analysis.tables["evolution"].records()
    names = dict.fromkeys(_name(record) for record in records)
    rows = [
        (str(index), *(_cell(record) for record in records if record["map"] == index))
        for index in dict.fromkeys(record["map"] for record in records)
    ]
    if "settling" in analyzed.analysis.tables:
        medians = [row["median"] for row in analyzed.analysis.tables["settling"].records()]
        rows.append(("settled", *("" if each is None else f"{each:.2f}" for each in medians)))
    columns = dict.fromkeys(("map", *names), "right")
    print_table(
        f"{layer_of(analyzed)} of {title_of(analyzed.model, analyzed.version, analyzed.precision)}",
        columns,
        rows,
    )
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
