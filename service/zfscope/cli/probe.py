"""`zfscope probe`: measure how well a linear classifier works on each layer's features."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli import options as opt
from zfscope.cli.forward import ForwardOptions, check_ray
from zfscope.cli.output import print_json, print_table, progress, title_of
from zfscope.cli.photos import sentence, skipped_files_json
from zfscope.cli.streams import echo
from zfscope.cli.warn import print_data_warnings
from zfscope.errors import InputError
from zfscope.location import find_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import TaskID

    from zfscope.datasets import DataSet
    from zfscope.parallel import Engine
    from zfscope.probe import ProbePlan, ProbeResult, ProbeStage
    from zfscope.runtimes import Runtime
    from zfscope.store import Model


def probe(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Photos with classes: a folder with one subfolder per class; a .tar of such a folder; or a "
            "text or Parquet file that lists photos with their classes.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Folder for features and results: a new or empty one, or that of an earlier probe, whose "
            "features are used again.",
            show_default=False,
        ),
    ],
    model: opt.ModelName = "",
    version: opt.ModelVersion = None,
    layers: Annotated[
        str,
        typer.Option(
            metavar="LAYER,...",
            help="Layers to probe.  [default: the activations of all convolutions and fully connected "
            "layers; in a network with branches, of the layers that join them; blocks of an opaque network]",
        ),
    ] = "",
    per_class: Annotated[
        str,
        typer.Option(metavar="N,...", help="Photos of each class to train on; several numbers for a curve."),
    ] = "15",
    test_per_class: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Largest number of photos of each class to test with.  [default: all others]"
        ),
    ] = None,
    splits: Annotated[int, typer.Option(metavar="N", help="Number of random divisions of the photos.")] = 5,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the divisions.")] = 0,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Class to leave out; repeatable.", show_default=False),
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
    """Measure how well a linear classifier works on the features of each layer.

    A linear classifier is trained on the features of a few photos of each class and tested with others (Sec
    5, Table 7, Fig 9). One pass over the photos computes the features of all layers, which are kept as .npy
    files. Repeat the command to resume an interrupted probe. Needs zfscope[probe].

    \b
    Examples:
      zfscope probe photos/train --out probed
      zfscope probe photos/train --layers relu3,relu5,relu7 --per-class 5,15,30 --out probed
      zfscope probe 101_ObjectCategories --leave-out BACKGROUND_Google --test-per-class 10 --out probed
      zfscope probe photos.parquet --model resnet --device cuda --out probed --json
    """
    from zfscope.datasets.names import similar_classes
    from zfscope.parallel import create_engine
    from zfscope.probe import open_data, plan_probe
    from zfscope.store import ModelStore

    check_ray(engine, runtime, device)
    plan = plan_probe(
        read_sizes(per_class),
        splits=splits,
        seed=seed,
        test_per_class=test_per_class,
        leave_out=leave_out or (),
    )
    chosen_engine = create_engine(engine, address=address)
    loaded = ModelStore(find_store(store)).load(model, version)
    photos = open_data(data)
    print_data_warnings(similar_classes(photos.classes))
    forward = ForwardOptions(runtime, device, precision or opt.PrecisionName.float32, torchserve)
    result = _probe_with_progress(
        loaded,
        photos,
        out,
        plan,
        layers=opt.split_names(layers),
        runtime=forward.creator()(loaded),
        engine=chosen_engine,
    )
    if as_json:
        print_json(_as_object(result, photos, out))
    else:
        _print(result, photos, out)


def read_sizes(text: str) -> list[int]:
    """Return the numbers of photos per class. Raises InputError if the text does not list numbers."""
    parts = opt.split_names(text)
    if not parts or not all(part.isascii() and part.isdecimal() for part in parts):
        message = f"--per-class '{text}' is not a list of numbers; pass numbers such as 15,30"
        raise InputError(message, field="per_class")
    return [int(part) for part in parts]


def _probe_with_progress(
    model: "Model",
    data: "DataSet",
    out: Path,
    plan: "ProbePlan",
    *,
    layers: list[str],
    runtime: "Runtime",
    engine: "Engine",
) -> "ProbeResult":
    """Run a probe with a progress bar for each of its stages."""
    from zfscope.probe import probe_layers

    # Ray reports dead workers on stdout, which is reserved for the result.
    with redirect_stdout(sys.stderr), progress() as bar:
        tasks: dict[ProbeStage, TaskID] = {}

        def show(stage: "ProbeStage", done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage.value, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        return probe_layers(
            model, data, out, plan, layers=layers, runtime=runtime, engine=engine, progress=show
        )


def _as_object(result: "ProbeResult", photos: "DataSet", out: Path) -> dict[str, Any]:
    features = result.features
    return {
        "folder": str(out),
        "model": features.origin.model.name,
        "version": features.origin.model.version,
        "precision": features.origin.precision.value,
        "classes": result.classes,
        "tested": result.tested,
        "accuracies": [row.model_dump() for row in result.accuracies],
        "images": features.photos,
        "skipped": len(features.skipped),
        "skipped_photos": [each.model_dump() for each in features.skipped],
        "passed_over": skipped_files_json(photos.skipped_files),
    }


def _print(result: "ProbeResult", photos: "DataSet", out: Path) -> None:
    features, plan = result.features, result.plan
    model = features.origin.model
    title = title_of(model.name, model.version, features.origin.precision)
    columns = {"layer": "left"} | {f"{size} per class": "right" for size in plan.per_class}
    print_table(title, columns, [*_rows(result)])
    over = "a single split" if plan.splits == 1 else f"mean and standard deviation of {plan.splits} splits"
    echo(
        f"Accuracy in percent, {over}: {result.classes} classes, {result.tested:,} photos to test with in "
        "each split."
    )
    if unconverged := sum(row.unconverged for row in result.accuracies):
        echo(f"{unconverged} classifiers had not converged after their last step.")
    skipped = f"{len(features.skipped):,} could not be used, see features.json" if features.skipped else ""
    echo(f"{sentence(features.photos, skipped, photos.skipped_files)}. Results written to {out}")


def _rows(result: "ProbeResult") -> "Iterator[tuple[str, ...]]":
    """Yield the rows of the table: a layer's name, and its accuracy for each number of photos."""
    for layer in result.features.origin.layers:
        rows = [row for row in result.accuracies if row.layer == layer.name]
        shown = (
            f"{row.accuracy:.1f}" if row.deviation is None else f"{row.accuracy:.1f} ± {row.deviation:.1f}"
            for row in rows
        )
        yield layer.name, *shown
