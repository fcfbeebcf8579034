"""`zfscope compare`: compare models side by side (Fig 6)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli import options as opt
from zfscope.cli.analysis import AnalysisRunner, WrittenFiles, analysis, picture_line
from zfscope.cli.output import cells, print_table
from zfscope.cli.output_folder import Subject
from zfscope.cli.photos import PhotosUsed, read_photo
from zfscope.cli.streams import echo
from zfscope.cli.warn import print_data_warnings
from zfscope.errors import InputError

if TYPE_CHECKING:
    from zfscope.client import Analyzed
    from zfscope.datasets import SkippedFiles
    from zfscope.datasets.read import SkippedPhoto
    from zfscope.results import Table

MAX_PHOTOS = 16
# Suffixes of files that are data sets, in the formats of `zfscope index`, rather than photos.
DATA_SUFFIXES = (".tar", ".txt")


@analysis("compared", {}, leave_out=("model", "version"))
def compare(
    run: AnalysisRunner,
    parameters: dict[str, Any],
    photos: Annotated[
        list[Path],
        typer.Argument(
            metavar="PHOTO", help="Photos, or data sets to sample photos from.", show_default=False
        ),
    ],
    models: Annotated[
        str, typer.Option(metavar="NAME[:VERSION],...", help="Models to compare, two or more.")
    ],
    index: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Count the maps that are dead on all photos of this index, which every model must have.  "
            "[default: dead maps are not counted]",
        ),
    ] = "",
    indexes: opt.Indexes = None,
) -> None:
    """Compare the first layers and dead maps of models.

    The figure shows the filters of the first layer, their spatial frequencies, and aliasing (grid patterns)
    in layer 2. From a data set, 16 evenly spaced photos are used.

    \b
    Examples:
      zfscope compare photos/ --models zfnet-imagenette,alexnet-imagenette --out compared
      zfscope compare photos/train --models zfnet-imagenette,alexnet-imagenette --index train
      zfscope compare a.jpg b.jpg --models zfnet-a:1,zfnet-a:2 --json
    """
    first, *others = [name.strip() for name in models.split(",")]
    if indexes is not None and not index:
        raise InputError("--indexes requires --index NAME", field="index")
    name, version = opt.model_reference(first, "models")
    selection = select_photos(photos)
    print_data_warnings(selection.warnings)
    run.analyze(
        "compare-architectures",
        selection.photos,
        {"others": others, "index": index},
        lambda analyzed: Subject("", (), _table(analyzed).columns[2:]),
        partial(_show, selection.used),
        more=selection.used.as_object(),
        stage="models",
        model=name,
        version=version,
    )


def _table(analyzed: "Analyzed") -> "Table":
    return analyzed.analysis.tables["architectures"]


def _show(used: PhotosUsed, analyzed: "Analyzed", written: WrittenFiles) -> None:
    table = _table(analyzed)
    print_table("Architectures compared", dict.fromkeys(table.columns, "left"), cells(table.rows))
    echo(f"Compared on {used}. {picture_line(written)}")


@dataclass
class PhotoSelection:
    """Photos to compare on, unusable photos, skipped files, and warnings."""

    photos: list[bytes] = field(default_factory=list)
    skipped: list["SkippedPhoto"] = field(default_factory=list)
    skipped_files: list["SkippedFiles"] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def used(self) -> PhotosUsed:
        """Counts of the used and unusable photos."""
        return PhotosUsed(len(self.photos), self.skipped, self.skipped_files)


def select_photos(named: Sequence[Path]) -> PhotoSelection:
    """Select the named photos and a sample of each data set.

    Raises InputError for a photo that cannot be read, and for a data set without a usable photo.
    """
    selection = PhotoSelection()
    for path in named:
        if path.is_dir() or path.suffix.lower() in DATA_SUFFIXES:
            _add_sample(path, selection)
        else:
            selection.photos.append(_read_valid_photo(path))
    if repeats := len(selection.photos) - len(set(selection.photos)):
        selection.warnings.append(f"{repeats:,} of {len(selection.photos):,} photos are duplicates")
    return selection


def _read_valid_photo(path: Path) -> bytes:
    from zfscope.images.decode import decode

    data = read_photo(path)
    try:
        decode(data, field=f"'{path}'")
    except InputError as error:
        raise InputError(error.message, field="photos") from error
    return data


def _add_sample(path: Path, selection: PhotoSelection) -> None:
    """Add evenly spaced photos of a data set, replacing an unusable photo by the next usable one."""
    from zfscope.datasets import UnusablePhoto, open_data
    from zfscope.datasets.names import as_unicode, quoted, similar_classes
    from zfscope.datasets.read import SkippedPhoto, read_usable_photo

    data, photos, skipped = open_data(path), list[bytes](), list[SkippedPhoto]()
    count = min(MAX_PHOTOS, len(data))
    starts = [len(data) * index // count for index in range(count + 1)]
    for first, end in pairwise(starts):
        for number in range(first, end):
            photo = data.photo(number)
            try:
                photos.append(read_usable_photo(photo))
                break
            except UnusablePhoto as error:
                skipped.append(SkippedPhoto(as_unicode(photo.name), error.message))
    if not photos:
        name, reason = skipped[0]
        message = (
            f"no usable photo among {len(data):,} in {quoted(str(path))}; first: {quoted(name)}: {reason}"
        )
        raise InputError(message, field="photos")
    selection.photos += photos
    selection.skipped += skipped
    selection.warnings += similar_classes(data.classes)
    selection.skipped_files += data.skipped_files
