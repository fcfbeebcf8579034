"""Options shared by several commands."""

from enum import StrEnum
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from zfscope.choices import DeviceName as DeviceName
from zfscope.choices import EngineName as EngineName
from zfscope.choices import PrecisionName as PrecisionName
from zfscope.choices import RuntimeName as RuntimeName
from zfscope.cli.command import option
from zfscope.errors import InputError


class Rank(StrEnum):
    """Measure that ranks maps by strength."""

    max = "max"
    sum = "sum"


PhotoFiles = Annotated[
    list[Path],
    typer.Argument(
        metavar="PHOTO",
        show_default=False,
        help="Image files (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC), folders, or - for standard input.",
    ),
]
ModelName = Annotated[
    str, typer.Option("--model", metavar="NAME", help="Model name.  [default: the store's default model]")
]
ModelVersion = Annotated[
    int | None, typer.Option("--version", metavar="N", help="Model version.  [default: the newest]")
]
Store = Annotated[
    Path | None,
    typer.Option(
        "--store",
        envvar="ZFSCOPE_STORE",
        metavar="DIR",
        help="Model store.  [default: ./model_store, or the checkout's]",
    ),
]
TargetStore = Annotated[
    Path | None,
    typer.Option(
        "--store",
        envvar="ZFSCOPE_STORE",
        metavar="DIR",
        help="Model store to add the model to.  [default: ./model_store, or the checkout's]",
    ),
]
Server = Annotated[
    str,
    typer.Option("--server", metavar="HOST:PORT", help="Use a running service instead of this process."),
]
Runtime = Annotated[
    RuntimeName, typer.Option("--runtime", help="Runtime of the forward pass in this process.")
]
IndexDevice = Annotated[
    DeviceName,
    typer.Option("--device", help="Device of the network in this process; ignored by TorchServe."),
]
Engine = Annotated[
    EngineName,
    typer.Option("--engine", help="Run in this process or on a Ray cluster; both write the same files."),
]
RayAddress = Annotated[
    str,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="Address of the Ray cluster: ray://HOST:PORT, or on one of its machines HOST:PORT or auto. "
        "Every machine must see the photos at the same path.  [default: RAY_ADDRESS, or a temporary "
        "cluster on this machine's CPUs]",
    ),
]
Precision = Annotated[
    PrecisionName | None,
    typer.Option(
        "--precision",
        help="Precision of computations in this process; bfloat16 needs a processor with AMX or AVX512-BF16, "
        "or a GPU; tf32 needs a GPU.  [default: float32]",
    ),
]
Indexes = Annotated[
    Path | None,
    typer.Option(
        "--indexes",
        metavar="DIR",
        help="Folder of indexes, as written by `zfscope index --out`; for several models it holds "
        "NAME/VERSION folders.  [default: indexes/ in the model's folder]",
        show_default=False,
    ),
]
TorchServeAddress = Annotated[
    str,
    typer.Option(
        "--torchserve",
        metavar="HOST:PORT",
        envvar="ZFSCOPE_TORCHSERVE",
        help="Address of TorchServe's gRPC inference API, for --runtime torchserve.  "
        "[default: 127.0.0.1:7070]",
        show_default=False,
    ),
]
Tensors = Annotated[bool, typer.Option("--tensors", help="Also write tensors as .npy files.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Output folder.")]
TenCrop = Annotated[bool, typer.Option("--ten-crop", help="Average the scores of ten crops (Sec 3).")]
OpenBrowser = Annotated[bool, typer.Option("--open", help="Open the page in a browser.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def option_value(value: Any) -> Any:
    """Return the plain value of an option: the string of an enum member."""
    return value.value if isinstance(value, StrEnum) else value


def split_names(text: str) -> list[str]:
    """Split comma-separated names, dropping surrounding spaces and empty names."""
    return [name.strip() for name in text.split(",") if name.strip()]


def model_reference(text: str, option: str) -> tuple[str, int | None]:
    """Return name and version of `NAME` or `NAME:VERSION`. option: name of the option, for the error."""
    name, colon, version = text.partition(":")
    if not name or (colon and not (version.isascii() and version.isdecimal())):
        message = f"--{option}: '{text}' is not a valid model; use NAME or NAME:VERSION"
        raise InputError(message, field=option)
    return name, int(version) if version else None


def numbers_option(name: str, text: str, example: str) -> Parameter:
    """Return an option for comma-separated numbers; its value is None if it lists none.

    example: example shown in errors.
    """

    def read(value: str) -> list[int] | None:
        parts = split_names(value)
        if not all(part.isascii() and part.isdecimal() for part in parts):
            message = f"--{name} '{value}' is not a list of numbers; pass {name} such as {example}"
            raise InputError(message, field=name)
        return [int(part) for part in parts] or None

    return option(name, Any, text, parser=read, metavar=f"{name.upper().removesuffix('S')},...")


def parameters_by_name(*parameters: Parameter) -> dict[str, Parameter]:
    """Return options keyed by the names of their parameters."""
    return {parameter.name: parameter for parameter in parameters}


# Options of map analyses and of projections.
FIRST = option("first", int | None, "Skip this many of the strongest maps.  [default: 0]", metavar="N")
CONTROL = (
    option("control", bool, "Also project through randomised weights.", False, flags=("--control",)),
    option(
        "control_down_to",
        str,
        "Randomise the control's layers from the top down to this one.  [default: all]",
        "",
        metavar="LAYER",
    ),
)
