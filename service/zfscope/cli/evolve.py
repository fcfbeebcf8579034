"""`zfscope evolve`: what excites maps most at each stored epoch of the training (Fig 4)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli.analyze import as_object, write
from zfscope.cli.connect import connect
from zfscope.cli.index import Passes, index_name, photos_indexed, photos_indexed_json
from zfscope.cli.indexes import make_missing
from zfscope.cli.numbers import read_numbers
from zfscope.cli.options import (
    AsJson,
    DeviceName,
    IndexDevice,
    Indexes,
    ModelName,
    ModelVersion,
    Server,
    Store,
)
from zfscope.cli.output import print_json, print_table, print_warnings, progress, title_of
from zfscope.cli.output_folder import about_layer, open_output
from zfscope.cli.streams import echo
from zfscope.errors import InputError
from zfscope.location import find_store
from zfscope.records import RecordState

if TYPE_CHECKING:
    from zfscope.client import Analyzed
    from zfscope.scan import DataSet
    from zfscope.scan.manifest import IndexManifest
    from zfscope.store import ModelStore


def evolve(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DATA]",
            help="Make the indexes that are missing of these photos first, as `zfscope index` does.",
            show_default=False,
        ),
    ] = None,
    index: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Of the final weights.  [default: as DATA is called, or the only one]"
        ),
    ] = "",
    layer: Annotated[str, typer.Option(help="Whose maps: a convolutional layer.")] = "conv3",
    maps: Annotated[
        str, typer.Option(metavar="MAP,...", help="Which maps.  [default: the strongest at the end]")
    ] = "",
    count: Annotated[
        int | None, typer.Option(metavar="N", help="How many of the strongest maps, 1 to 32.  [default: 6]")
    ] = None,
    first: Annotated[
        int | None, typer.Option(metavar="N", help="Pass over so many of the strongest.  [default: 0]")
    ] = None,
    epochs: Annotated[
        str, typer.Option(metavar="EPOCH,...", help="After which.  [default: all that have an index]")
    ] = "",
    settling: Annotated[
        bool, typer.Option("--settling/--no-settling", help="Measure how fast the maps settle.")
    ] = True,
    tensors: Annotated[bool, typer.Option("--tensors", help="Write the numbers too, as .npy.")] = False,
    device: IndexDevice = DeviceName.cpu,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write to.")] = Path("evolved"),
    indexes: Indexes = None,
    model: ModelName = "",
    version: ModelVersion = None,
    store: Store = None,
    server: Server = "",
    as_json: AsJson = False,
) -> None:
    """Show what excites maps most after each stored epoch of the training, and how fast they settle.

    The model must have checkpoints, and an index for each: given DATA, those that are missing are made.

    \b
    Examples:
      zfscope evolve photos/train --layer conv4 --out evolved
      zfscope evolve --layer conv2 --maps 1,2 --epochs 1,5,20
      zfscope evolve --model zfnet-imagenette --index train --server localhost:50051 --json
    """
    from zfscope.store import ModelStore

    asked: dict[str, Any] = {
        option: read_numbers(option, given, such_as="1,2,5")
        for option, given in (("maps", maps), ("epochs", epochs))
    }
    asked |= {"count": count, "first": first}
    if data is not None and server:
        message = "DATA is indexed in this process; index it where the service is, and leave DATA out"
        raise InputError(message, field="data")
    used: tuple[IndexManifest, DataSet] | None = None
    with connect(server, store, indexes=indexes) as zfscope, open_output(out) as folder:
        if data is not None:
            index, about = index_name(index, data), zfscope.model(model, version).summary
            model, version = about.name, about.version
            by = Passes(device=device)
            models = ModelStore(find_store(store), indexes=indexes)
            used = _make_indexes(models, (model, version), data, index, layer, asked["epochs"], by)
        with progress() as bar:
            task = bar.add_task("epochs", total=100)
            found = zfscope.analyze(
                "evolve",
                [],
                {"index": index, "layer": layer, "settling": settling}
                | {name: value for name, value in asked.items() if value is not None},
                model=model,
                version=version,
                tensors=tensors,
                progress=lambda told: bar.update(task, completed=int(100 * told.fraction)),
            )
        files = write(folder, about_layer(layer), found)
    if as_json:
        print_json(as_object(found, files) | (photos_indexed_json(*used) if used else {}))
    else:
        print_warnings(found.warnings)
        _print(layer, found, files)
        if used:
            echo(f"{photos_indexed(*used)}.")


def _make_indexes(
    models: "ModelStore",
    which: tuple[str, int],
    data: Path,
    base: str,
    layer: str,
    epochs: Any,
    passes: Passes,
) -> "tuple[IndexManifest, DataSet] | None":
    """Make the indexes that are missing, of the final weights and of each epoch (default: of all early ones).

    Return the index of the final weights and its photos, None for a model without checkpoints.

    Raises InputError for an index of that name of other photos, and NotFound for a layer or an epoch that
    checkpoints do not keep.
    """
    from zfscope.networks.spec import layers_of_maps
    from zfscope.scan import indexes_folder, make_plan, open_data
    from zfscope.scan.open import read_manifest

    name, version = which
    final, photos = models.load(name, version), open_data(data)
    if not final.manifest.checkpoints:
        return None  # the analyzer says what to do
    spec = layers_of_maps(final.spec)
    by_default = make_plan(spec)
    plan = by_default if layer in by_default.layers else make_plan(spec, [layer])
    wanted = final.manifest.early_epochs if epochs is None else epochs
    make_missing(models, final, photos, base, plan, wanted, passes)
    return read_manifest(indexes_folder(final) / base), photos


def _print(layer: str, found: "Analyzed", files: list[Path]) -> None:
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
    echo(f"All of it in one picture: {files[0]}")


def _name(record: dict[str, Any]) -> str:
    return "end" if record["epoch"] is None else f"epoch {record['epoch']}"


def _cell(record: dict[str, Any]) -> str:
    if record["state"] == "dead":
        return "dead"
    return f"{'jump ' if record['jumped'] else ''}{record['value']:.3g}"
