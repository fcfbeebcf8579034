"""`zfscope index`: for every map of some layers, the photos of a data set that activate it most."""

import re
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli import options as opt
from zfscope.cli.output import Speed, print_json, print_table, progress, title_of
from zfscope.cli.photos import passed_over_json, sentence
from zfscope.cli.streams import echo
from zfscope.cli.warn import print_lines_of_warnings
from zfscope.errors import InputError
from zfscope.location import find_store

if TYPE_CHECKING:
    from zfscope.runtimes import Runtime as ForwardRuntime
    from zfscope.scan import DataSet, Engine, Index, ScanPlan
    from zfscope.scan.manifest import IndexManifest
    from zfscope.store import Model


def index(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder of photos, or of one folder per class; a .tar of such a folder; or a text file of "
            "one path a line, each with its class behind a TAB, if it has one.",
        ),
    ],
    model: opt.ModelName = "",
    version: opt.ModelVersion = None,
    checkpoint: Annotated[
        int | None,
        typer.Option(metavar="EPOCH", help="The model as it was after this epoch.  [default: the end]"),
    ] = None,
    layers: Annotated[
        str, typer.Option(metavar="LAYER,...", help="Which to index.  [default: all convolutions]")
    ] = "",
    top: Annotated[int, typer.Option(metavar="N", help="How many photos of each map.")] = 9,
    rank: Annotated[
        opt.Rank, typer.Option(help="Photos are strong by a map's maximum or by its sum.")
    ] = opt.Rank.max,
    name: Annotated[str, typer.Option(help="Of the index.  [default: DATA's name, and the epoch]")] = "",
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Put the index there.  [default: indexes/ in the model's folder]"),
    ] = None,
    engine: Annotated[
        opt.EngineName, typer.Option(help="Who runs it: this process, or a Ray cluster, to the same index.")
    ] = opt.EngineName.local,
    address: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Of the Ray cluster: ray://HOST:PORT, or, on a machine of it, HOST:PORT or auto. All its "
            "machines must see the photos under the same path.  [default: RAY_ADDRESS, or a cluster of this "
            "machine's CPUs, which ends with the command]",
        ),
    ] = "",
    runtime: opt.Runtime = opt.RuntimeName.onnx,
    device: opt.IndexDevice = opt.DeviceName.cpu,
    torchserve: opt.TorchServeAddress = "",
    store: opt.Store = None,
    as_json: opt.AsJson = False,
) -> None:
    """Index a data set: find the strongest photos of every map, one maximum a photo, and the dead maps.

    Photos that cannot be read are skipped and listed. An index that was stopped goes on where it was when
    the same command is given again. It is made of Parquet files, which pandas and DuckDB read.

    \b
    Examples:
      zfscope index photos/val --model zfnet-imagenette
      zfscope index photos/train --model zfnet-imagenette --checkpoint 5
      zfscope index photos.tar --model zfnet-imagenette --layers conv5,fc7 --top 9 --name strongest
      zfscope index photos/train --model zfnet-imagenette --device cuda
      zfscope index /shared/photos --model zfnet-imagenette --engine ray --address ray://head:10001
    """
    from zfscope.datasets.names import similar_classes
    from zfscope.scan import create_engine, indexes_folder, make_plan, open_data
    from zfscope.store import ModelStore

    _check_ray(engine, runtime, device)
    run_by = create_engine(engine, address=address)
    models = ModelStore(find_store(store))
    found = (
        models.load(model, version)
        if checkpoint is None
        else models.load_checkpoint(model, checkpoint, version)
    )
    wanted = [layer for layer in layers.split(",") if layer]
    plan = make_plan(found.spec, wanted, top=top, rank="sum" if rank is opt.Rank.sum else "max")
    title = index_name(name, data, checkpoint)
    photos = open_data(data)
    print_lines_of_warnings(similar_classes(photos.classes))
    target = (out or indexes_folder(found)) / title
    by = Passes(runtime, device, torchserve)
    made = make_index(found, photos, plan, target, engine=run_by, passes=by)
    if as_json:
        passed_over = passed_over_json(photos.passed_over)
        print_json({"folder": str(target), **counts(made), "passed_over": passed_over})
    else:
        _print(made, photos, target)


@dataclass(frozen=True)
class Passes:
    """Who runs the forward passes of a scan, and on what. torchserve: where it is, empty: as usual."""

    runtime: opt.RuntimeName = opt.RuntimeName.onnx
    device: opt.DeviceName = opt.DeviceName.cpu
    torchserve: str = ""

    def of(self, model: "Model") -> "ForwardRuntime":
        from zfscope.runtimes import TorchServe, create_runtime

        return create_runtime(
            self.runtime,
            model,
            threads=1,
            device=self.device,
            torchserve=TorchServe(self.torchserve) if self.torchserve else None,
        )


def make_index(
    model: "Model",
    data: "DataSet",
    plan: "ScanPlan",
    target: Path,
    *,
    engine: "Engine | None" = None,
    passes: Passes | None = None,
    stage: str = "photos",
    option: str = "--out",
) -> "Index":
    """Make an index, or resume it, with a progress bar.

    engine: None for this process. passes: None for ONNX Runtime on the CPU. stage: the bar's title. option:
    what puts the index elsewhere.
    """
    from zfscope.scan import build_index, local

    # Ray tells on stdout of actors that died: that is for the answer.
    with redirect_stdout(sys.stderr), progress(Speed()) as bar:
        task = bar.add_task(stage, total=len(data))
        return build_index(
            model,
            data,
            plan,
            target,
            runtime=(passes or Passes()).of(model),
            engine=engine or local,
            progress=lambda done, total: bar.update(task, completed=done),
            option=option,
        )


def _check_ray(engine: opt.EngineName, runtime: opt.RuntimeName, device: opt.DeviceName) -> None:
    """Raise InputError for what actors of one CPU each cannot run."""
    if engine is not opt.EngineName.ray:
        return
    if device is not opt.DeviceName.cpu:
        raise InputError(f"an actor of Ray has a CPU, and no device '{device}'", field="device")
    if runtime is opt.RuntimeName.torchserve:
        message = "actors of Ray run the network themselves: onnx and torch can, torchserve is one elsewhere"
        raise InputError(message, field="runtime")


def index_name(name: str, data: Path, checkpoint: int | None = None) -> str:
    """Give the name of an index: by default that of its data, such as `val`, and `val-epoch-005`.

    Raises InputError for a name that is none.
    """
    from zfscope.scan.open import epoch_index_name
    from zfscope.store.manifest import NAME_PATTERN

    plain = plain_name(data)
    title = name or (plain if checkpoint is None else epoch_index_name(plain, checkpoint))
    if not re.fullmatch(NAME_PATTERN, title):
        raise InputError(f"name '{title}' must match {NAME_PATTERN}; give a --name", field="name")
    return title


def plain_name(data: Path) -> str:
    """Return the name of a data set in lower case, with dashes for all that names here cannot have."""
    stem = data.resolve().name.removesuffix(data.suffix) if data.is_file() else data.resolve().name
    return re.sub(r"[^a-z0-9._-]", "-", stem.lower())


def counts(index: "Index") -> dict[str, Any]:
    """Count photos and maps, as the JSON object that `zfscope index --json` prints."""
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
        "layers": {
            layer.name: {"maps": layer.maps, "dead": len(index.dead_maps(layer.name))}
            for layer in origin.layers
        },
    }


def _print(index: "Index", photos: "DataSet", target: Path) -> None:
    found = counts(index)
    columns = {"layer": "left", "maps": "right", "dead": "right"}
    rows = [(name, str(layer["maps"]), str(layer["dead"])) for name, layer in found["layers"].items()]
    print_table(f"index '{index.name}' of {title_of(found['model'], found['version'])}", columns, rows)
    echo(f"{photos_indexed(index.manifest, photos)}. The index is in {target}")


def photos_indexed(manifest: "IndexManifest", photos: "DataSet") -> str:
    """Return how many photos are indexed, without a full stop, with those that could not be and why."""
    count = manifest.skipped
    skipped = f"{count:,} could not be used, see skipped.parquet" if count else ""
    return sentence(manifest.images, skipped, photos.passed_over)


def photos_indexed_json(manifest: "IndexManifest", photos: "DataSet") -> dict[str, Any]:
    """Return the same as counts, for programs."""
    return {
        "images": manifest.images,
        "skipped": manifest.skipped,
        "passed_over": passed_over_json(photos.passed_over),
    }
