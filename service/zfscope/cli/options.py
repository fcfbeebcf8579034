"""The options that commands share, each declared once."""

from enum import StrEnum
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from zfscope.choices import DeviceName as DeviceName
from zfscope.choices import EngineName as EngineName
from zfscope.choices import RuntimeName as RuntimeName
from zfscope.cli.command import option
from zfscope.errors import InputError


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
DEFAULT_STORE = Path("model_store")
TargetStore = Annotated[
    Path,
    typer.Option("--store", envvar="ZFSCOPE_STORE", help="Directory of models that the new one is added to."),
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
Tensors = Annotated[bool, typer.Option("--tensors", help="Write the numbers too, as .npy.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write to.")]
TenCrop = Annotated[bool, typer.Option("--ten-crop", help="Average over ten crops (Sec 3).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]


def plain(value: Any) -> Any:
    """Return the value of an option without the class of its choices."""
    return value.value if isinstance(value, StrEnum) else value


def names(text: str) -> list[str]:
    """Return names that commas separate, without spaces around them and without empty ones."""
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(name: str, text: str, such_as: str) -> Parameter:
    """Return the option for several numbers; its value is None for none."""

    def read(given: str) -> list[int] | None:
        words = names(given)
        if not all(word.isascii() and word.isdecimal() for word in words):
            raise InputError(f"--{name} '{given}'; {name} are named as {such_as}", field=name)
        return [int(word) for word in words] or None

    return option(name, Any, text, parser=read, metavar=f"{name.upper().removesuffix('S')},...")


def by_name(*parameters: Parameter) -> dict[str, Parameter]:
    """Return options by the names of the parameters that they set."""
    return {parameter.name: parameter for parameter in parameters}


# Options of analyses of maps, and of projections.
FIRST = option("first", int | None, "Skip this many of the strongest maps.  [default: 0]", metavar="N")
CONTROL = (
    option("control", bool, "Project through randomised weights too, beside.", False, flags=("--control",)),
    option("control_down_to", str, "Of the control: randomise down to this layer only.  [default: all]", ""),
)
