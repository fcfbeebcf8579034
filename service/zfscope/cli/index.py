"""`zfscope index`: find the photos of a data set that activate each map of some layers most."""

import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli import options as opt
from zfscope.cli.forward import ForwardOptions, check_ray
from zfscope.cli.output import Speed, print_json, print_table, progress, title_of
from zfscope.cli.photos import sentence, skipped_files_json
from zfscope.cli.streams import echo
from zfscope.cli.warn import print_data_warnings
from zfscope.errors import InputError
from zfscope.location import find_store

if TYPE_CHECKING:
    from zfscope.parallel import Engine
    from zfscope.scan import DataSet, Index, ScanPlan
    from zfscope.scan.manifest import IndexManifest
    from zfscope.store import Model


def index(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Photos: a folder, optionally with one subfolder per class; a .tar of such a folder; or a "
            "text file with one path per line, optionally followed by a TAB and the class, or a Parquet file "
            "with the columns path and class.",
        ),
    ],
    model: opt.ModelName = "",
    version: opt.ModelVersion = None,
    checkpoint: Annotated[
        int | None,
        typer.Option(
            metavar="EPOCH", help="Index the checkpoint of this epoch.  [default: the final weights]"
        ),
    ] = None,
    layers: Annotated[
        str,
        typer.Option(
            metavar="LAYER,...",
            help="Layers to index.  [default: all convolutions; blocks of an opaque network]",
        ),
    ] = "",
    top: Annotated[int, typer.Option(metavar="N", help="Number of photos to keep per map.")] = 9,
    rank: Annotated[
        opt.Rank, typer.Option(help="Rank photos by the maximum or the sum of a map's activations.")
    ] = opt.Rank.max,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Index name.  [default: DATA's name, and the epoch if given]")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder to write the index to.  [default: indexes/ in the model's folder]"
        ),
    ] = None,
    engine: opt.Engine = opt.EngineName.local,
    address: opt.RayAddress = "",
    runtime: opt.Runtime = opt.RuntimeName.onnx,
    device: opt.IndexDevice = opt.DeviceName.cpu,
    precision: opt.Precision = None,
    torchserve: opt.TorchServeAddress = "",
    store: opt.Store = None,
    as_json: opt.AsJson = False,
) -> None:
    """Index the strongest photos of every feature map.

    Each photo counts once per map, with its maximum. The index also lists dead maps and unreadable photos. It
    consists of Parquet files, readable with pandas and DuckDB. Repeat the command to resume an interrupted
    index.

    \b
    Examples:
      zfscope index photos/val --model zfnet-imagenette
      zfscope index photos/train --model zfnet-imagenette --checkpoint 5
      zfscope index photos.tar --model zfnet-imagenette --layers conv5,fc7 --top 9 --name strongest
      zfscope index photos/train --model zfnet-imagenette --device cuda
      zfscope index photos/train --runtime torch --precision bfloat16
      zfscope index /shared/photos --model zfnet-imagenette --engine ray --address ray://head:10001
    """
    from zfscope.datasets.names import similar_classes
    from zfscope.parallel import create_engine
    from zfscope.scan import indexes_folder, open_data, plan_scan
    from zfscope.store import ModelStore

    check_ray(engine, runtime, device)
    scan_engine = create_engine(engine, address=address)
    models = ModelStore(find_store(store))
    loaded = (
        models.load(model, version)
        if checkpoint is None
        else models.load_checkpoint(model, checkpoint, version)
    )
    wanted = [layer for layer in layers.split(",") if layer]
    plan = plan_scan(loaded.spec, wanted, top=top, rank="sum" if rank is opt.Rank.sum else "max")
    title = index_name(name, data, checkpoint)
    photos = open_data(data)
    print_data_warnings(similar_classes(photos.classes))
    target = (out or indexes_folder(loaded)) / title
    forward = ForwardOptions(runtime, device, precision or opt.PrecisionName.float32, torchserve)
    built = build_index_with_progress(loaded, photos, plan, target, engine=scan_engine, forward=forward)
    if as_json:
        skipped_files = skipped_files_json(photos.skipped_files)
        print_json({"folder": str(target), **counts(built), "passed_over": skipped_files})
    else:
        _print(built, photos, target)


def build_index_with_progress(
    model: "Model",
    data: "DataSet",
    plan: "ScanPlan",
    target: Path,
    *,
    engine: "Engine | None" = None,
    forward: ForwardOptions | None = None,
    stage: str = "photos",
    option: str = "--out",
) -> "Index":
    """Build or resume an index, with a progress bar.

    engine: None for this process. forward: None for ONNX Runtime on the CPU. stage: title of the bar. option:
    flag that sets the index's folder, named in errors.
    """
    from zfscope.parallel import LocalEngine
    from zfscope.scan import build_index

    # Ray reports dead workers on stdout, which is reserved for the result.
    with redirect_stdout(sys.stderr), progress(Speed()) as bar:
        task = bar.add_task(stage, total=len(data))
        return build_index(
            model,
            data,
            plan,
            target,
            runtime=(forward or ForwardOptions()).creator()(model),
            engine=engine or LocalEngine(),
            progress=lambda done, total: bar.update(task, completed=done),
            option=option,
        )


def index_name(name: str, data: Path, checkpoint: int | None = None) -> str:
    """Return the name of an index, by default derived from its data: `val`, or `val-epoch-005`.

    Raises InputError for an invalid name.
    """
    from zfscope.scan.open import epoch_index_name
    from zfscope.store.manifest import NAME_PATTERN

    plain = plain_name(data)
    title = name or (plain if checkpoint is None else epoch_index_name(plain, checkpoint))
    if not re.fullmatch(NAME_PATTERN, title):
        message = f"name '{title}' must match {NAME_PATTERN}; choose another with --name"
        raise InputError(message, field="name")
    return title


def plain_name(data: Path) -> str:
    """Return a data set's name in lower case, with dashes for characters that are not allowed in names."""
    stem = data.resolve().name.removesuffix(data.suffix) if data.is_file() else data.resolve().name
    return re.sub(r"[^a-z0-9._-]", "-", stem.lower())


def counts(index: "Index") -> dict[str, Any]:
    """Return the counts of photos and maps printed by `zfscope index --json`."""
    manifest = index.manifest
    origin = manifest.origin
    return {
        "index": index.name,
        "model": origin.model.name,
        "version": origin.model.version,
        "images": manifest.images,
        "skipped": manifest.skipped,
        "top": origin.top,
        "rank": origin.rank,
        "precision": origin.precision.value,
        "layers": {
            layer.name: {"maps": layer.maps, "dead": len(index.dead_maps(layer.name))}
            for layer in origin.layers
        },
    }


def _print(index: "Index", photos: "DataSet", target: Path) -> None:
    summary = counts(index)
    columns = {"layer": "left", "maps": "right", "dead": "right"}
    rows = [(name, str(layer["maps"]), str(layer["dead"])) for name, layer in summary["layers"].items()]
    title = title_of(summary["model"], summary["version"], summary["precision"])
    print_table(f"index '{index.name}' of {title}", columns, rows)
    echo(f"{photos_indexed(index.manifest, photos)}. Index written to {target}")


def photos_indexed(manifest: "IndexManifest", photos: "DataSet") -> str:
    """Return a sentence on the numbers of indexed and skipped photos, without the full stop."""
    count = manifest.skipped
    skipped = f"{count:,} could not be used, see skipped.parquet" if count else ""
    return sentence(manifest.images, skipped, photos.skipped_files)


def photos_indexed_json(manifest: "IndexManifest", photos: "DataSet") -> dict[str, Any]:
    """Return the counts of `photos_indexed` as a JSON object."""
    return {
        "images": manifest.images,
        "skipped": manifest.skipped,
        "passed_over": skipped_files_json(photos.skipped_files),
    }
