"""`zfscope classify`: the likeliest classes of a photo."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli import options as opt
from zfscope.cli.command import remote
from zfscope.cli.connect import connect
from zfscope.cli.output import answer_json, print_json, print_table, print_warnings, title_of
from zfscope.cli.photos import for_each, is_single, listed, read_photo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zfscope.client import Classification

    Classify = Callable[[bytes], Classification]


@remote
def classify(
    photos: opt.PhotoFiles,
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many classes.")] = 5,
    ten_crop: opt.TenCrop = False,
    model: opt.ModelName = "",
    version: opt.ModelVersion = None,
    runtime: opt.Runtime = opt.RuntimeName.onnx,
    torchserve: opt.TorchServeAddress = "",
    store: opt.Store = None,
    server: opt.Server = "",
    as_json: opt.AsJson = False,
) -> None:
    """Classify a photo; for several photos, or a folder, print a row each with the likeliest class.

    With several photos --json prints one object a line, with the photo's path as `file`; a photo that cannot
    be used has an `error` there and does not end the others, and the exit code is 2.

    \b
    Examples:
      zfscope classify china.jpg
      zfscope classify china.jpg --top 3 --json
      zfscope classify photos/ a.jpg b.jpg
      curl -sSL https://example.org/a.jpg | zfscope classify -
      zfscope classify china.jpg --server localhost:50051
    """
    with connect(server, store, runtime=runtime, torchserve=torchserve) as zfscope:

        def one(photo: bytes) -> "Classification":
            return zfscope.classify(photo, model=model, version=version, top=top, ten_crop=ten_crop)

        if is_single(photos):
            _print_one(photos[0], one(read_photo(photos[0])), as_json=as_json)
        elif as_json:
            _print_lines(listed(photos), one)
        else:
            _print_rows(listed(photos), one)


def _print_one(photo: Path, answer: "Classification", *, as_json: bool) -> None:
    if as_json:
        print_json(as_object(answer))
        return
    print_warnings(answer.warnings)
    columns = {"probability": "right", "class": "left", "id": "left"}
    rows = [(f"{score.probability:.1%}", score.label, score.label_id) for score in answer.classes]
    print_table(f"{photo.name}, by {title_of(answer.model, answer.version)}", columns, rows)


def _print_lines(photos: "Sequence[Path]", classify: "Classify") -> None:
    """Print a JSON object a line, as soon as it is known."""
    for_each(
        photos,
        lambda path, photo: print_json({"file": str(path)} | as_object(classify(photo))),
        as_json=True,
    )


def _print_rows(photos: "Sequence[Path]", classify: "Classify") -> None:
    """Print a table of the likeliest class of each photo."""
    answers: dict[Path, Classification] = {}

    def add(path: Path, photo: bytes) -> None:
        answers[path] = classify(photo)
        print_warnings(answers[path].warnings, prefix=f"{path}: ")

    try:
        for_each(photos, add, as_json=False)
    finally:
        if answers:
            _print_table(answers)


def _print_table(answers: "dict[Path, Classification]") -> None:
    columns = {"photo": "left", "probability": "right", "class": "left", "id": "left"}
    likeliest = {path: answer.classes[0] for path, answer in answers.items()}
    rows = [
        (str(path), f"{score.probability:.1%}", score.label, score.label_id)
        for path, score in likeliest.items()
    ]
    first = next(iter(answers.values()))
    noun = "photo" if len(rows) == 1 else "photos"
    print_table(f"{len(rows):,} {noun}, by {title_of(first.model, first.version)}", columns, rows)


def as_object(answer: "Classification") -> dict[str, Any]:
    """Return an answer as a JSON object."""
    named = [
        {name.removeprefix("label_"): value for name, value in vars(score).items()}
        for score in answer.classes
    ]
    return answer_json(answer, classes=named)
