"""`zfscope classify`: the likeliest classes of a photo."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli.connect import connect, read_photo
from zfscope.cli.options import (
    AsJson,
    ModelName,
    ModelVersion,
    PhotoFile,
    Runtime,
    RuntimeName,
    Server,
    Store,
    TorchServeAddress,
)
from zfscope.cli.output import (
    print_json,
    print_table,
    print_warnings,
    size_json,
    title_of,
    warnings_json,
)

if TYPE_CHECKING:
    from zfscope.client import Classification


def classify(
    photo: PhotoFile,
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many classes.")] = 5,
    ten_crop: Annotated[bool, typer.Option("--ten-crop", help="Average over ten crops (Sec 3).")] = False,
    model: ModelName = "",
    version: ModelVersion = None,
    runtime: Runtime = RuntimeName.onnx,
    torchserve: TorchServeAddress = "",
    store: Store = None,
    server: Server = "",
    as_json: AsJson = False,
) -> None:
    """Say what a photo shows.

    \b
    Examples:
      zfscope classify china.jpg
      zfscope classify china.jpg --top 3 --json
      zfscope classify china.jpg --server localhost:50051
    """
    data = read_photo(photo)
    with connect(server, store, runtime=runtime, torchserve=torchserve) as zfscope:
        answer = zfscope.classify(data, model=model, version=version, top=top, ten_crop=ten_crop)
    if as_json:
        print_json(as_object(answer))
        return
    print_warnings(answer.warnings)
    columns = {"probability": "right", "class": "left", "id": "left"}
    rows = [(f"{score.probability:.1%}", score.label, score.label_id) for score in answer.classes]
    print_table(f"{photo.name}, by {title_of(answer.model, answer.version)}", columns, rows)


def as_object(answer: "Classification") -> dict[str, Any]:
    """Give an answer as a JSON object."""
    return {
        "model": answer.model,
        "version": answer.version,
        "photo": size_json(answer.photo_size),
        "classes": [
            {
                "index": score.index,
                "id": score.label_id,
                "label": score.label,
                "probability": score.probability,
                "logit": score.logit,
            }
            for score in answer.classes
        ],
        "warnings": warnings_json(answer.warnings),
    }
