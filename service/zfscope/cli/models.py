"""`zfscope models`: list, describe, import, fetch and export models."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from zfscope.cli import options as opt
from zfscope.cli.command import Command, remote
from zfscope.cli.connect import connect
from zfscope.cli.export_model import export_model
from zfscope.cli.import_model import fetch_model, import_model
from zfscope.cli.output import print_json, print_table, progress, title_of
from zfscope.cli.streams import echo
from zfscope.errors import DamagedModel, InputError
from zfscope.location import find_store

if TYPE_CHECKING:
    from zfscope.client import GraphInfo, LayerInfo, ModelInfo, ModelSummary, PreprocessingInfo


_LIST = "list"
# Number of layers up to which all are shown by default.
MANY_LAYERS = 32


class LayerSelection(StrEnum):
    """Layers of a model to show."""

    all = "all"
    blocks = "blocks"


class ModelsGroup(TyperGroup):
    """Group that passes arguments other than a command to `list`: `zfscope models NAME`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first not in self.commands and first not in ctx.help_option_names:
            args = [_LIST, *args]
        return super().parse_args(ctx, args)


models = typer.Typer(cls=ModelsGroup, rich_markup_mode=None)


@models.callback()
def _group_help() -> None:
    """List, describe, import, fetch and export models.

    Without a command, list the models, or describe the one named.

    \b
    Examples:
      zfscope models
      zfscope models zfnet-imagenette
      zfscope models import resnet50.onnx --name mine --preprocessing torchvision
      zfscope models fetch squeezenet-imagenet
      zfscope models export zfnet-imagenette --format onnx
    """


@models.command(_LIST, cls=Command)
@remote
def list_models(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Model to describe layer by layer.", show_default=False)
    ] = "",
    version: opt.ModelVersion = None,
    layers: Annotated[
        LayerSelection | None,
        typer.Option(
            help="Layers of NAME to show: all, or the outputs of blocks.  "
            f"[default: all, or blocks if there are over {MANY_LAYERS}]"
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="First check every file of the store against its hash.")
    ] = False,
    store: opt.Store = None,
    server: opt.Server = "",
    as_json: opt.AsJson = False,
) -> None:
    """List the models or describe one.

    \b
    Examples:
      zfscope models
      zfscope models zfnet-imagenette --json
      zfscope models squeezenet-imagenet --layers all
      zfscope models --verify
    """
    if verify and server:
        message = "--verify cannot be combined with --server; it reads the files on this machine"
        raise InputError(message, field="verify")
    with connect(server, store) as client:
        described = client.model(name, version) if name else None
        listed = (described.summary,) if described else client.models()
    if verify:
        _verify(listed, find_store(store))
    if as_json:
        print_json(asdict(described) if described else {"models": [asdict(model) for model in listed]})
    elif described:
        _print_model(described, layers)
    elif listed:
        _print_models(listed)
    else:
        echo("The store is empty. Add a model with: zfscope models fetch squeezenet-imagenet")


def _verify(models: "tuple[ModelSummary, ...]", root: Path) -> None:
    from zfscope.scan import verify_indexes
    from zfscope.store import ModelStore

    store = ModelStore(root)
    with progress() as bar:
        for model in bar.track(models, description="verifying"):
            if model.damage:
                raise DamagedModel(f"model '{model.name}' version {model.version}: {model.damage}")
            store.verify(model.name, model.version)
            verify_indexes(store.folder(model.name, model.version))


def _print_models(models: "tuple[ModelSummary, ...]") -> None:
    columns = {
        "model": "left",
        "version": "right",
        "network": "left",
        "classes": "right",
        "parameters": "right",
    }
    rows = [
        (
            f"{model.name}{' (default)' if model.is_default else ''}",
            str(model.version),
            model.network,
            str(model.classes),
            f"{model.parameters:,}",
            f"DAMAGED: {model.damage}" if model.damage else model.summary,
        )
        for model in models
    ]
    print_table("", {**columns, "summary": "left"}, rows)


def _print_model(model: "ModelInfo", selection: LayerSelection | None) -> None:
    summary = model.summary
    columns = {"layer": "left", "kind": "left", "output": "left", "parameters": "right"}
    columns |= {"receptive field (px)": "right", "stride (px)": "right"}
    title = f"{title_of(summary.name, summary.version, model.precision)}: {summary.summary}"
    shown = _selected(model.layers, selection)
    print_table(title, columns, [_layer_row(layer, is_opaque=model.graph is not None) for layer in shown])
    if model.graph:
        echo(_graph_line(model.graph))
    if others := len(model.layers) - len(shown):
        echo(f"Outputs of blocks; {others} other layers: zfscope models {summary.name} --layers all")
    echo(_preprocessing_line(model.preprocessing))
    if model.accuracy:
        accuracy = model.accuracy
        echo(
            f"Accuracy on {accuracy.images} photos ({accuracy.data}): top-1 {accuracy.top1_percent:.1f} %, "
            f"top-5 {accuracy.top5_percent:.1f} %"
        )
    if not model.labels:
        echo("No classes: the network ends in feature maps")
        return
    echo(
        f"Classes: {', '.join(label.name for label in model.labels[:20])}"
        f"{' ...' if len(model.labels) > 20 else ''}"
    )


def _graph_line(graph: "GraphInfo") -> str:
    """Describe the graph of an opaque network in one line."""
    obstacle = f" ({graph.obstacle})" if graph.obstacle else ""
    batches = "" if graph.batches else "; images run one by one"
    return f"Opaque graph, not a list of layers{obstacle}{batches}"


def _preprocessing_line(steps: "PreprocessingInfo") -> str:
    """Describe the preprocessing in one line."""
    resized = f"short side {steps.short_side_px} px ({steps.interpolation or 'bilinear'}), "
    mean = ", ".join(f"{level:g}" for level in steps.mean) or "a mean image"
    std = ", ".join(f"{level:g}" for level in steps.std)
    return (
        f"Preprocessing: {resized if steps.short_side_px else 'not resized, '}crop {steps.crop_px} px, "
        f"{steps.channels}, minus {mean}, divided by {std}"
    )


def _selected(layers: "tuple[LayerInfo, ...]", selection: LayerSelection | None) -> "tuple[LayerInfo, ...]":
    """Return the layers to show: all or the blocks; by default all of a small network."""
    if selection is None:
        selection = LayerSelection.blocks if len(layers) > MANY_LAYERS else LayerSelection.all
    blocks = tuple(layer for layer in layers if layer.block)
    return blocks if selection is LayerSelection.blocks and blocks else layers


def _layer_row(layer: "LayerInfo", *, is_opaque: bool) -> tuple[str, ...]:
    # Receptive fields in an opaque network are unknown; a unit without a position counts as seeing all.
    unlimited = "unknown" if is_opaque and len(layer.shape) > 1 else "all"
    return (
        layer.name,
        layer.kind,
        " x ".join(map(str, layer.shape)),
        f"{layer.parameters:,}" if layer.parameters else "",
        _extent(layer.receptive_field_rows_px, layer.receptive_field_columns_px) or unlimited,
        _extent(layer.stride_rows_px, layer.stride_columns_px),
    )


def _extent(rows: int | None, columns: int | None) -> str:
    """Return a number of pixels, or rows x columns if they differ; empty for a layer without maps."""
    if rows is None or columns is None:
        return ""
    return str(rows) if rows == columns else f"{rows} x {columns}"


models.command("import", cls=Command)(import_model)
models.command("fetch", cls=Command)(fetch_model)
models.command("export", cls=Command)(export_model)
