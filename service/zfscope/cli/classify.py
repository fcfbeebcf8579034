"""`zfscope classify`: print the most likely classes of photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli import options as opt
from zfscope.cli.command import remote
from zfscope.cli.connect import connect
from zfscope.cli.output import print_json, print_table, print_warnings, result_json, title_of
from zfscope.cli.photos import expand_photos, is_single_photo, process_photos, read_photo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zfscope.client import Classification

    Classify = Callable[[bytes], Classification]


@remote
def classify(
    photos: opt.PhotoFiles,
    top: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="Number of classes to print for a photo.")
    ] = 5,
    ten_crop: opt.TenCrop = False,
    model: opt.ModelName = "",
    version: opt.ModelVersion = None,
    runtime: opt.Runtime = opt.RuntimeName.onnx,
    precision: opt.Precision = None,
    torchserve: opt.TorchServeAddress = "",
    store: opt.Store = None,
    server: opt.Server = "",
    as_json: opt.AsJson = False,
) -> None:
    """Classify photos.

    Print the top classes of a single photo; for several photos or a folder, print one row per photo with
    its most likely class. With several photos, --json prints one object per line, with the photo's path as
    `file`. Unusable photos are reported (with --json, as `error`) and skipped; the exit code is then 2.

    \b
    Examples:
      zfscope classify china.jpg
      zfscope classify china.jpg --top 3 --json
      zfscope classify photos/ a.jpg b.jpg
      curl -sSL https://example.org/a.jpg | zfscope classify -
      zfscope classify china.jpg --runtime torch --precision bfloat16
      zfscope classify china.jpg --server localhost:50051
    """
    with connect(server, store, runtime=runtime, precision=precision, torchserve=torchserve) as client:

        def classify_photo(photo: bytes) -> "Classification":
            return client.classify(photo, model=model, version=version, top=top, ten_crop=ten_crop)

        if is_single_photo(photos):
            _print_one(photos[0], classify_photo(read_photo(photos[0])), as_json=as_json)
        elif as_json:
            _print_lines(expand_photos(photos), classify_photo)
        else:
            _print_rows(expand_photos(photos), classify_photo)


def _print_one(photo: Path, result: "Classification", *, as_json: bool) -> None:
    if as_json:
        print_json(as_object(result))
        return
    print_warnings(result.warnings)
    columns = {"probability": "right", "class": "left", "id": "left"}
    rows = [(f"{score.probability:.1%}", score.label, score.label_id) for score in result.classes]
    print_table(f"{photo.name}, by {title_of(result.model, result.version, result.precision)}", columns, rows)


def _print_lines(photos: "Sequence[Path]", classify: "Classify") -> None:
    """Print one JSON object per line, each as soon as its photo is classified."""
    process_photos(
        photos,
        lambda path, photo: print_json({"file": str(path)} | as_object(classify(photo))),
        as_json=True,
    )


def _print_rows(photos: "Sequence[Path]", classify: "Classify") -> None:
    """Print a table with the most likely class of each photo."""
    results: dict[Path, Classification] = {}

    def add(path: Path, photo: bytes) -> None:
        results[path] = classify(photo)
        print_warnings(results[path].warnings, prefix=f"{path}: ")

    try:
        process_photos(photos, add, as_json=False)
    finally:
        if results:
            _print_table(results)


def _print_table(results: "dict[Path, Classification]") -> None:
    columns = {"photo": "left", "probability": "right", "class": "left", "id": "left"}
    likeliest = {path: result.classes[0] for path, result in results.items()}
    rows = [
        (str(path), f"{score.probability:.1%}", score.label, score.label_id)
        for path, score in likeliest.items()
    ]
    first = next(iter(results.values()))
    noun = "photo" if len(rows) == 1 else "photos"
    print_table(
        f"{len(rows):,} {noun}, by {title_of(first.model, first.version, first.precision)}", columns, rows
    )


def as_object(result: "Classification") -> dict[str, Any]:
    """Convert a classification to a JSON object."""
    named = [
        {name.removeprefix("label_"): value for name, value in vars(score).items()}
        for score in result.classes
    ]
    return result_json(result, classes=named)
