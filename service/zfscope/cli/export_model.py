"""`zfscope models export`: a model of the store as a file that other software serves."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zfscope.cli import options as opt
from zfscope.cli.output import print_json
from zfscope.cli.streams import echo
from zfscope.errors import InputError
from zfscope.location import find_store

if TYPE_CHECKING:
    from zfscope.store import Model


class ExportFormat(StrEnum):
    """What a model is written as."""

    onnx = "onnx"
    mar = "mar"


def export_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model of the store.", show_default=False)],
    export_format: Annotated[
        ExportFormat, typer.Option("--format", help="What it is written as.", show_default=False)
    ],
    version: opt.ModelVersion = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="[default: NAME.onnx or NAME.mar]", show_default=False),
    ] = None,
    layers: Annotated[
        str,
        typer.Option(
            metavar="NAMES", help="onnx: outputs beside the class scores, by commas.  [default: every layer]"
        ),
    ] = "",
    batch_size: Annotated[
        int, typer.Option(min=1, help="mar: requests that TorchServe runs in one pass, at most.")
    ] = 8,
    batch_delay_ms: Annotated[int, typer.Option(min=0, help="mar: how long it waits for more.")] = 2,
    workers: Annotated[int, typer.Option(min=1, help="mar: processes that run passes.")] = 1,
    store: opt.Store = None,
    as_json: opt.AsJson = False,
) -> None:
    """Write a model as a file that other software serves.

    \b
    onnx  a graph: any number of images in, class scores and the outputs of layers out
    mar   an archive for TorchServe, whose Python needs zfscope; torchserve.properties is written beside it

    \b
    Examples:
      zfscope models export zfnet-imagenette --format onnx --layers conv5,fc7
      zfscope models export zfnet-imagenette --format mar --out archives/zfnet-imagenette.mar
    """
    from zfscope.store import ModelStore

    target = out or Path(f"{name}.{export_format}")
    if target.exists():
        raise InputError(f"'{target}' is there already; name another file by --out", field="out")
    model = ModelStore(find_store(store)).load(name, version)
    if export_format is ExportFormat.onnx:
        _export_onnx(model, target, [layer.strip() for layer in layers.split(",")] if layers else None)
    else:
        from zfscope.runtimes.torchserve.archive import Batching, write_archive

        write_archive(model, target, Batching(batch_size, batch_delay_ms, workers))
    if as_json:
        print_json({"model": model.name, "version": model.version, "file": str(target)})
    else:
        echo(f"The model is in {target}; {_next(export_format, model.name, target)}")


def _export_onnx(model: "Model", target: Path, layers: list[str] | None) -> None:
    from zfscope.files import folder_for_files, write_file
    from zfscope.runtimes.onnx.cache import export_model
    from zfscope.runtimes.onnx.graph import with_layers

    spec = model.spec
    for layer in layers or ():
        spec.layer(layer, field="layers")
    names = [layer.name for layer in spec.layers] if layers is None else layers
    with folder_for_files(target.parent):
        write_file(target, with_layers(export_model(model), spec, names))


def _next(export_format: ExportFormat, name: str, target: Path) -> str:
    if export_format is ExportFormat.onnx:
        return f"how its images are prepared says: zfscope models {name} --json"
    store, settings = target.parent, target.parent / "torchserve.properties"
    return f"serve it with: torchserve --start --ncs --model-store {store} --ts-config {settings}"
