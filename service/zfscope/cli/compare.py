"""`zfscope compare`: models side by side (Fig 6)."""

from pathlib import Path
from typing import Annotated

import typer

from zfscope.cli.analyze import as_object, write
from zfscope.cli.connect import connect
from zfscope.cli.options import AsJson, Server, Store
from zfscope.cli.output import print_json, print_table, print_warnings
from zfscope.cli.output_folder import open_output
from zfscope.cli.photos import read_photo
from zfscope.errors import InputError

MOST_PHOTOS = 16


def compare(
    photos: Annotated[
        list[Path],
        typer.Argument(
            metavar="PHOTO...", help="Photos, or a folder of which some are taken.", show_default=False
        ),
    ],
    models: Annotated[
        str, typer.Option(metavar="NAME[:VERSION],...", help="Two or more models of the store.")
    ],
    index: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="That each model has: count maps dead on all its photos.  [default: none]"
        ),
    ] = "",
    tensors: Annotated[bool, typer.Option("--tensors", help="Write the numbers too, as .npy.")] = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write to.")] = Path("compared"),
    store: Store = None,
    server: Server = "",
    as_json: AsJson = False,
) -> None:
    """Put models side by side: first filters and their frequencies, dead maps, grids in layer 2.

    Of a folder, 16 photos are taken, evenly spaced.

    \b
    Examples:
      zfscope compare photos/ --models zfnet-imagenette,alexnet-imagenette --out compared
      zfscope compare photos/train --models zfnet-imagenette,alexnet-imagenette --index train
      zfscope compare a.jpg b.jpg --models zfnet-a:1,zfnet-a:2 --json
    """
    first, *others = [name.strip() for name in models.split(",")]
    name, _, version = first.partition(":")
    if version and not version.isdecimal():
        raise InputError(f"--models: '{first}'; a model is named as NAME or NAME:VERSION", field="models")
    data = [read_photo(path) for path in chosen(photos)]
    with connect(server, store) as zfscope, open_output(out) as folder:
        found = zfscope.analyze(
            "compare-architectures",
            data,
            {"others": others, "index": index},
            model=name,
            version=int(version) if version else None,
            tensors=tensors,
        )
        files = write(folder, None, found)
    if as_json:
        print_json(as_object(found, files))
        return
    print_warnings(found.warnings)
    table = found.analysis.tables["architectures"]
    rows = [tuple(_cell(cell) for cell in row) for row in table.rows]
    print_table("Architectures compared", dict.fromkeys(table.columns, "left"), rows)
    typer.echo(f"{files[0]}")


def chosen(photos: list[Path]) -> list[Path]:
    """Give photos as they are, and some of each folder. Raises InputError for a folder without any."""
    found: list[Path] = []
    for path in photos:
        found += _some_of(path) if path.is_dir() else [path]
    return found


def _some_of(folder: Path) -> list[Path]:
    from zfscope.images.formats import photo_suffixes

    photos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in photo_suffixes())
    if not photos:
        raise InputError(
            f"'{folder}' holds no photos ({', '.join(sorted(photo_suffixes()))})", field="photos"
        )
    count = min(MOST_PHOTOS, len(photos))
    return [photos[len(photos) * place // count] for place in range(count)]


def _cell(cell: str | int | float | None) -> str:
    if cell is None:
        return ""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
