"""`zfscope gallery`: all maps of a model and the user's photos, as HTML pages."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli import options as opt
from zfscope.cli.index import Passes, index_name, photos_indexed, photos_indexed_json
from zfscope.cli.indexes import make_missing
from zfscope.cli.output import print_json, print_table, progress, title_of
from zfscope.cli.streams import echo, keep_stdout
from zfscope.errors import InputError
from zfscope.location import find_store

if TYPE_CHECKING:
    from zfscope.datasets import DataSet
    from zfscope.gallery import Gallery
    from zfscope.gallery.look import Analyze
    from zfscope.local import LocalClient
    from zfscope.store import Model, ModelStore


def gallery(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="The photos, as `zfscope index` takes them; indexes that are missing are made.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write to.")] = Path("gallery"),
    index: Annotated[
        str, typer.Option(metavar="NAME", help="Of the final weights.  [default: as DATA is called]")
    ] = "",
    layers: Annotated[
        str,
        typer.Option(
            metavar="LAYER,...",
            help="Which to show.  [default: all that the index has; of a new one, all convolutions]",
        ),
    ] = "",
    top: Annotated[
        int | None, typer.Option(metavar="N", help="How many photos of each map, 1 to 9.  [default: 9]")
    ] = None,
    count: Annotated[
        int | None, typer.Option(metavar="N", help="The strongest maps of each layer alone.  [default: all]")
    ] = None,
    evolution: Annotated[
        bool,
        typer.Option(
            "--evolution/--no-evolution", help="Show each map at the stored epochs of training, too."
        ),
    ] = True,
    indexes: opt.Indexes = None,
    title: Annotated[str, typer.Option(metavar="WORDS", help="Of the first page.")] = "",
    device: opt.IndexDevice = opt.DeviceName.cpu,
    model: opt.ModelName = "",
    version: opt.ModelVersion = None,
    store: opt.Store = None,
    as_json: opt.AsJson = False,
) -> None:
    """Write pages that show every map: its strongest photos, what it saw in them, and how it came to be.

    They need no service and no network: open DIR/index.html. What was stopped goes on when the same
    command is given again; a gallery that is finished is made anew in its place.

    \b
    Examples:
      zfscope gallery photos/val --out gallery
      zfscope gallery photos/val --layers conv5,fc8 --index classes --no-evolution --out classes
      zfscope gallery photos/val --count 32 --title "Thirty-two of each" --out some
    """
    from zfscope.gallery import build_gallery, make_plan
    from zfscope.local import LocalClient
    from zfscope.scan import open_data, open_index
    from zfscope.store import ModelStore

    root, wanted = find_store(store), [layer.strip() for layer in layers.split(",") if layer.strip()]
    models, name = ModelStore(root, indexes=indexes), index_name(index, data)
    keep_stdout()  # from analyzers, which run in this process
    client = LocalClient(models, runtime="torch")
    about, photos = client.model(model, version).summary, open_data(data)
    loaded = models.load(about.name, about.version)
    _make_indexes(models, loaded, photos, name, wanted, evolution=evolution, passes=Passes(device=device))
    found = open_index(loaded, name)
    plan = make_plan(loaded, found, layers=wanted, top=top, count=count, evolution=evolution)
    with progress() as bar:
        task = bar.add_task("maps", total=None)
        made = build_gallery(
            plan,
            _analyze(client, loaded),
            out,
            title=title,
            watch=lambda done, total: bar.update(task, completed=int(done), total=total),
        )
    if as_json:
        photo_counts = photos_indexed_json(found.manifest, photos)
        print_json({"folder": str(out), **made.model_dump(mode="json"), **photo_counts})
    else:
        _print(made, photos_indexed(found.manifest, photos), out)


def _analyze(client: "LocalClient", model: "Model") -> "Analyze":
    def analyze(analyzer: str, parameters: Any, told: Any) -> Any:
        return client.analyze(
            analyzer,
            [],
            parameters,
            model=model.name,
            version=model.version,
            pictures=False,
            tensors=True,
            progress=lambda progress: told(progress.fraction),
        ).analysis

    return analyze


def _make_indexes(
    models: "ModelStore",
    model: "Model",
    photos: "DataSet",
    name: str,
    layers: list[str],
    *,
    evolution: bool,
    passes: Passes,
) -> None:
    """Make the indexes that are missing: of the final weights, and of the epochs where they are shown."""
    from zfscope.scan import indexes_folder, make_plan, open_index

    plan = make_plan(model.spec, layers)
    if (indexes_folder(model) / name).exists():
        there = open_index(model, name)
        lacking = [layer for layer in layers if layer not in there.layers]
        if lacking:
            message = f"index '{name}' has no layer '{lacking[0]}', it has {', '.join(there.layers)}"
            raise InputError(f"{message}; give another --index, to be made with it", field="layers")
        plan = make_plan(model.spec, layers or there.layers)
    epochs = model.manifest.early_epochs if evolution else ()
    make_missing(models, model, photos, name, plan, epochs, passes)


def _print(made: "Gallery", photos: str, out: Path) -> None:
    columns = {"layer": "left", "maps": "right", "dead": "right", "marked": "right"}
    rows = [
        (name, str(layer.maps), str(layer.dead), str(layer.marked)) for name, layer in made.layers.items()
    ]
    print_table(f"gallery of {title_of(made.model, made.version)}", columns, rows)
    echo(f"{photos}. Open {out / 'index.html'}")
