"""`zfscope compare`: models side by side (Fig 6)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli import options as opt
from zfscope.cli.analysis import Analyses, Written, analysis, picture_line
from zfscope.cli.output import cells, print_table
from zfscope.cli.output_folder import Subject
from zfscope.cli.photos import PhotosUsed, read_photo
from zfscope.cli.streams import echo
from zfscope.cli.warn import print_lines_of_warnings
from zfscope.errors import InputError

if TYPE_CHECKING:
    from zfscope.client import Analyzed
    from zfscope.datasets import PassedOver
    from zfscope.datasets.read import Skipped
    from zfscope.results import Table

MOST_PHOTOS = 16
# Files that are data sets, as `zfscope index` takes them, and not photos.
DATA_SUFFIXES = (".tar", ".txt")


@analysis("compared", {}, leave_out=("model", "version"))
def compare(
    run: Analyses,
    parameters: dict[str, Any],
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
            metavar="NAME",
            help="Index that each model has: count maps dead on all its photos.  [default: none]",
        ),
    ] = "",
    indexes: opt.Indexes = None,
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
    run.analyze(
        "compare-architectures",
        chosen.photos,
        {"others": others, "index": index},
        lambda found: Subject("", (), _table(found).columns[2:]),
        partial(_show, chosen.used),
        more=chosen.used.as_object(),
        stage="models",
        model=name,
        version=int(version) if version else None,
    )


def _table(found: "Analyzed") -> "Table":
    return found.analysis.tables["architectures"]


def _show(used: PhotosUsed, found: "Analyzed", written: Written) -> None:
    table = _table(found)
    print_table("Architectures compared", dict.fromkeys(table.columns, "left"), cells(table.rows))
    echo(f"Compared on {used}. {picture_line(written)}")


@dataclass
class Chosen:
    """The photos to compare on, those that could not be used, what was passed over, and what may be wrong."""

    photos: list[bytes] = field(default_factory=list)
    skipped: list["Skipped"] = field(default_factory=list)
    passed_over: list["PassedOver"] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def used(self) -> PhotosUsed:
        """The photos by whether they are compared on."""
        return PhotosUsed(len(self.photos), self.skipped, self.passed_over)


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
