"""`zfscope gallery`: write HTML pages with all maps of a model, computed on the user's photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli import options as opt
from zfscope.cli.forward import ForwardOptions, forward_options
from zfscope.cli.index import index_name, photos_indexed, photos_indexed_json
from zfscope.cli.indexes import build_missing_indexes
from zfscope.cli.output import print_json, print_table, progress, title_of
from zfscope.cli.streams import echo, reserve_stdout
from zfscope.errors import InputError
from zfscope.location import find_store

if TYPE_CHECKING:
    from zfscope.datasets import DataSet
    from zfscope.gallery import Gallery
    from zfscope.gallery.inspect import Analyze
    from zfscope.local import LocalClient
    from zfscope.store import Model, ModelStore


def gallery(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Photos, in the formats of `zfscope index`; missing indexes are built.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder.")] = Path("gallery"),
    index: Annotated[
        str,
        typer.Option(metavar="NAME", help="Index of the final weights.  [default: named after DATA]"),
    ] = "",
    layers: Annotated[
        str,
        typer.Option(
            metavar="LAYER,...",
            help="Layers to show.  [default: all in the index; for a new index, all convolutions]",
        ),
    ] = "",
    top: Annotated[
        int | None, typer.Option(metavar="N", help="Number of photos per map, 1 to 9.  [default: 9]")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(metavar="N", help="Number of strongest maps to show per layer.  [default: all]"),
    ] = None,
    evolution: Annotated[
        bool,
        typer.Option("--evolution/--no-evolution", help="Also show each map at the stored training epochs."),
    ] = True,
    indexes: opt.Indexes = None,
    title: Annotated[
        str, typer.Option(metavar="TEXT", help="Title of the first page.  [default: derived from the model]")
    ] = "",
    device: opt.IndexDevice = opt.DeviceName.cpu,
    precision: opt.Precision = None,
    model: opt.ModelName = "",
    version: opt.ModelVersion = None,
    store: opt.Store = None,
    as_json: opt.AsJson = False,
) -> None:
    """Write HTML pages that show every feature map.

    The pages show each map's strongest photos, their projections, and its development in training. They work
    offline: open DIR/index.html. Repeat the command to resume an interrupted gallery; a finished one is
    replaced.

    \b
    Examples:
      zfscope gallery photos/val --out gallery
      zfscope gallery photos/val --layers conv5,fc8 --index classes --no-evolution --out classes
      zfscope gallery photos/val --count 32 --title "Thirty-two of each" --out some
    """
    from zfscope.gallery import build_gallery, plan_gallery
    from zfscope.local import LocalClient
    from zfscope.scan import open_data, open_index
    from zfscope.store import ModelStore, require_layers

    root, wanted = find_store(store), [layer.strip() for layer in layers.split(",") if layer.strip()]
    models, name = ModelStore(root, indexes=indexes), index_name(index, data)
    reserve_stdout()  # analyzers run in this process and may print
    forward = forward_options(device, precision)
    client = LocalClient(models, runtime="torch", device=forward.device, precision=forward.precision)
    summary, photos = client.model(model, version).summary, open_data(data)
    loaded = models.load(summary.name, summary.version)
    require_layers(loaded.manifest)  # pages show projections
    _build_indexes(models, loaded, photos, name, wanted, evolution=evolution, forward=forward)
    opened = open_index(loaded, name)
    plan = plan_gallery(
        loaded,
        opened,
        layers=wanted,
        top=top,
        count=count,
        evolution=evolution,
        projections=forward.precision,
    )
    with progress() as bar:
        task = bar.add_task("maps", total=None)
        built = build_gallery(
            plan,
            _analyze(client, loaded),
            out,
            title=title,
            progress=lambda done, total: bar.update(task, completed=int(done), total=total),
        )
    if as_json:
        photo_counts = photos_indexed_json(opened.manifest, photos)
        print_json({"folder": str(out), **built.model_dump(mode="json"), **photo_counts})
    else:
        _print(built, photos_indexed(opened.manifest, photos), out)


def _analyze(client: "LocalClient", model: "Model") -> "Analyze":
    def analyze(analyzer: str, parameters: Any, report: Any) -> Any:
        return client.analyze(
            analyzer,
            [],
            parameters,
            model=model.name,
            version=model.version,
            pictures=False,
            tensors=True,
            progress=lambda progress: report(progress.fraction),
        ).analysis

    return analyze


def _build_indexes(
    models: "ModelStore",
    model: "Model",
    photos: "DataSet",
    name: str,
    layers: list[str],
    *,
    evolution: bool,
    forward: ForwardOptions,
) -> None:
    """Build the missing indexes of the final weights and, if shown, of the epochs."""
    from zfscope.networks.lookup import list_layers
    from zfscope.scan import indexes_folder, open_index, plan_scan

    plan = plan_scan(model.spec, layers)
    if (indexes_folder(model) / name).exists():
        existing = open_index(model, name)
        missing = [layer for layer in plan.layers if layers and layer not in existing.layers]
        if missing:
            available = list_layers(model.spec, existing.layers)
            message = f"layer '{missing[0]}' is not in index '{name}'; available: {available}"
            raise InputError(f"{message}; choose a new name with --index to build one", field="layers")
        plan = plan_scan(model.spec, layers or existing.layers)
    epochs = model.manifest.early_epochs if evolution else ()
    build_missing_indexes(models, model, photos, name, plan, epochs, forward)


def _print(built: "Gallery", photos: str, out: Path) -> None:
    columns = {"layer": "left", "maps": "right", "dead": "right", "marked": "right"}
    rows = [
        (name, str(layer.maps), str(layer.dead), str(layer.marked)) for name, layer in built.layers.items()
    ]
    print_table(f"gallery of {title_of(built.model, built.version, built.precision)}", columns, rows)
    echo(f"{photos}. Open {out / 'index.html'}")
