"""`zfscope compare`: models side by side (Fig 6)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zfscope.cli.analyze import as_object, write
from zfscope.cli.connect import connect
from zfscope.cli.options import AsJson, Indexes, Server, Store
from zfscope.cli.output import print_json, print_table, print_warnings
from zfscope.cli.output_folder import Subject, open_output
from zfscope.cli.photos import read_photo
from zfscope.cli.photos_used import photos_json, sentence, skipped_in_words
from zfscope.cli.streams import echo
from zfscope.cli.warn import print_lines_of_warnings
from zfscope.errors import InputError

if TYPE_CHECKING:
    from zfscope.datasets import PassedOver
    from zfscope.datasets.read import Skipped

MOST_PHOTOS = 16
# Files that are data sets, as `zfscope index` takes them, and not photos.
DATA_SUFFIXES = (".tar", ".txt")


def compare(
    photos: Annotated[
        list[Path],
        typer.Argument(
            metavar="PHOTO", help="Photos, or data sets of which some are taken.", show_default=False
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
    indexes: Indexes = None,
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
    if indexes is not None and not index:
        raise InputError("--indexes is for --index NAME, which is missing", field="index")
    if version and not version.isdecimal():
        raise InputError(f"--models: '{first}'; a model is named as NAME or NAME:VERSION", field="models")
    chosen = choose(photos)
    print_lines_of_warnings(chosen.warnings)
    with connect(server, store, indexes=indexes) as zfscope, open_output(out) as folder:
        found = zfscope.analyze(
            "compare-architectures",
            chosen.photos,
            {"others": others, "index": index},
            model=name,
            version=int(version) if version else None,
            tensors=tensors,
        )
        table = found.analysis.tables["architectures"]
        files = write(folder, Subject("", (), table.columns[2:]), found)
    if as_json:
        counts = photos_json(len(chosen.photos), chosen.skipped, chosen.passed_over)
        print_json({**as_object(found, files), **counts})
        return
    print_warnings(found.warnings)
    rows = [tuple(_cell(cell) for cell in row) for row in table.rows]
    print_table("Architectures compared", dict.fromkeys(table.columns, "left"), rows)
    used = sentence(len(chosen.photos), skipped_in_words(chosen.skipped), chosen.passed_over)
    echo(f"Compared on {used}. All of it in one picture: {files[0]}")


@dataclass
class Chosen:
    """The photos to compare on, those that could not be used, what was passed over, and what may be wrong."""

    photos: list[bytes] = field(default_factory=list)
    skipped: list["Skipped"] = field(default_factory=list)
    passed_over: list["PassedOver"] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def choose(named: Sequence[Path]) -> Chosen:
    """Return photos as they are named, and some of each data set.

    Raises InputError for a photo that cannot be read, and for a data set without a photo that can be used.
    """
    chosen = Chosen()
    for path in named:
        if path.is_dir() or path.suffix.lower() in DATA_SUFFIXES:
            _add_some(path, chosen)
        else:
            chosen.photos.append(_named_photo(path))
    if repeats := len(chosen.photos) - len(set(chosen.photos)):
        chosen.warnings.append(f"{repeats:,} of {len(chosen.photos):,} photos repeat another of them")
    return chosen


def _named_photo(path: Path) -> bytes:
    from zfscope.images.decode import decode

    data = read_photo(path)
    try:
        decode(data, field=f"'{path}'")
    except InputError as error:
        raise InputError(error.message, field="photos") from error
    return data


def _add_some(path: Path, chosen: Chosen) -> None:
    """Add evenly spaced photos of a data set: in place of one that cannot be used, the next that can."""
    from zfscope.datasets import UnusablePhoto, open_data
    from zfscope.datasets.names import printable, quoted, similar_classes
    from zfscope.datasets.read import Skipped, usable_bytes

    data, photos, skipped = open_data(path), list[bytes](), list[Skipped]()
    count = min(MOST_PHOTOS, len(data))
    starts = [len(data) * place // count for place in range(count + 1)]
    for first, end in pairwise(starts):
        for number in range(first, end):
            photo = data.photo(number)
            try:
                photos.append(usable_bytes(photo))
                break
            except UnusablePhoto as error:
                skipped.append(Skipped(printable(photo.name), error.message))
    if not photos:
        name, reason = skipped[0]
        message = (
            f"none of the {len(data):,} photos in {quoted(str(path))} can be used; {quoted(name)}: {reason}"
        )
        raise InputError(message, field="photos")
    chosen.photos += photos
    chosen.skipped += skipped
    chosen.warnings += similar_classes(data.classes)
    chosen.passed_over += data.passed_over


def _cell(cell: str | int | float | None) -> str:
    if cell is None:
        return ""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
