"""`zfscope models export`: write a model in a format that other software can serve."""

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
    from collections.abc import Sequence

    from zfscope.store import Model


class ExportFormat(StrEnum):
    """Format of an exported model."""

    onnx = "onnx"
    mar = "mar"


def export_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Model name.", show_default=False)],
    export_format: Annotated[
        ExportFormat, typer.Option("--format", help="Format of the file.", show_default=False)
    ],
    version: opt.ModelVersion = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Output file.  [default: NAME.onnx or NAME.mar]", show_default=False
        ),
    ] = None,
    layers: Annotated[
        str,
        typer.Option(
            metavar="LAYER,...",
            help="onnx: layers to output in addition to the class scores.  [default: every layer; none of an "
            "opaque network]",
        ),
    ] = "",
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="mar: maximum batch size.")] = 8,
    batch_delay_ms: Annotated[
        int, typer.Option(metavar="MS", min=0, help="mar: maximum wait for a full batch, in milliseconds.")
    ] = 2,
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="mar: number of worker processes.")] = 1,
    store: opt.Store = None,
    as_json: opt.AsJson = False,
) -> None:
    """Export a model to a format that other software can serve.

    \b
    Formats:
      onnx  ONNX graph with any batch size; outputs the class scores and the layers. Of an opaque network,
            the graph as it is, with the tensors of the layers as outputs
      mar   TorchServe archive, with a torchserve.properties next to it; TorchServe's Python needs zfscope

    \b
    Examples:
      zfscope models export zfnet-imagenette --format onnx --layers conv5,fc7
      zfscope models export zfnet-imagenette --format mar --out archives/zfnet-imagenette.mar
    """
    from zfscope.store import ModelStore

    target = out or Path(f"{name}.{export_format}")
    if target.exists():
        raise InputError(f"'{target}' already exists; choose another file with --out", field="out")
    model = ModelStore(find_store(store)).load(name, version)
    if export_format is ExportFormat.onnx:
        _export_onnx(model, target, [layer.strip() for layer in layers.split(",")] if layers else None)
    else:
        from zfscope.runtimes.torchserve.archive import Batching, write_archive

        write_archive(model, target, Batching(batch_size, batch_delay_ms, workers))
    if as_json:
        print_json({"model": model.name, "version": model.version, "file": str(target)})
    else:
        echo(f"Model written to {target}; {_next_step(export_format, model.name, target)}")


def _export_onnx(model: "Model", target: Path, layers: list[str] | None) -> None:
    from zfscope.files import folder_for_files, write_file

    spec = model.spec
    default = () if model.is_opaque else [layer.name for layer in spec.layers]
    names = default if layers is None else [spec.layer(name, field="layers").name for name in layers]
    with folder_for_files(target.parent):
        write_file(target, _graph(model, names))


def _graph(model: "Model", layers: "Sequence[str]") -> bytes:
    """Return the graph of a model, with layers as outputs after the class scores."""
    if model.is_opaque:
        from zfscope.runtimes.onnx.opaque import opaque_graph

        return opaque_graph(model, layers)
    from zfscope.runtimes.onnx.cache import export_graph
    from zfscope.runtimes.onnx.graph import with_layers

    return with_layers(export_graph(model), model.spec, layers)


def _next_step(export_format: ExportFormat, name: str, target: Path) -> str:
    if export_format is ExportFormat.onnx:
        return f"see the preprocessing of its images with: zfscope models {name} --json"
    store, settings = target.parent, target.parent / "torchserve.properties"
    return f"serve it with: torchserve --start --ncs --model-store {store} --ts-config {settings}"
