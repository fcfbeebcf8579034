"""The options that commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class RuntimeName(StrEnum):
    """Who runs the forward pass."""

    onnx = "onnx"
    torch = "torch"
    torchserve = "torchserve"


class DeviceName(StrEnum):
    """What the forward pass runs on."""

    cpu = "cpu"
    cuda = "cuda"


class EngineName(StrEnum):
    """Who runs a scan."""

    local = "local"
    ray = "ray"


class Rank(StrEnum):
    """By what maps are strong."""

    max = "max"
    sum = "sum"


PhotoFiles = Annotated[
    list[Path],
    typer.Argument(
        metavar="PHOTO",
        show_default=False,
        help="Image files: JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC; folders; - for standard input.",
    ),
]
ModelName = Annotated[str, typer.Option("--model", help="A model of the store.  [default: the store's own]")]
ModelVersion = Annotated[int | None, typer.Option("--version", help="Of the model.  [default: the newest]")]
Store = Annotated[
    Path | None,
    typer.Option(
        "--store",
        envvar="ZFSCOPE_STORE",
        help="The folder of models.  [default: ./model_store, or that of the checkout]",
    ),
]
Server = Annotated[
    str, typer.Option("--server", metavar="HOST:PORT", help="Ask a running service instead of this process.")
]
Runtime = Annotated[
    RuntimeName, typer.Option("--runtime", help="Who runs the forward pass, in this process.")
]
IndexDevice = Annotated[
    DeviceName,
    typer.Option("--device", help="What indexes are made on, in this process; TorchServe has its own."),
]
Indexes = Annotated[
    Path | None,
    typer.Option(
        "--indexes",
        metavar="DIR",
        help="Directory of indexes, such as `zfscope index --out` writes to; several models have a directory "
        "NAME/VERSION each in it.  "
        "[default: indexes/ in the model's folder]",
        show_default=False,
    ),
]
TorchServeAddress = Annotated[
    str,
    typer.Option(
        "--torchserve",
        metavar="HOST:PORT",
        envvar="ZFSCOPE_TORCHSERVE",
        help="TorchServe's gRPC inference API, for that runtime.  [default: 127.0.0.1:7070]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
