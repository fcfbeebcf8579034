"""`zfscope models import`: a network that others defined and trained, into the model store."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zfscope.cli.labels import check_order, read_labels
from zfscope.cli.options import AsJson
from zfscope.cli.output import print_json, print_warnings, warnings_json
from zfscope.cli.streams import echo

if TYPE_CHECKING:
    from zfscope.results import Notice

TargetStore = Annotated[
    Path, typer.Option("--store", envvar="ZFSCOPE_STORE", help="The folder of models that it is added to.")
]
DEFAULT_STORE = Path("model_store")


class Format(StrEnum):
    """Whose definition the file follows."""

    pytorchcv = "pytorchcv"
    torchvision_alexnet = "torchvision-alexnet"
    onnx_zfnet512 = "onnx-zfnet512"
    caffe_zf = "caffe-zf"


def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The weights.", show_default=False)],
    definition: Annotated[Format, typer.Option("--format", help="Whose definition it is.")],
    name: Annotated[str, typer.Option("--name", help="Of the model in the store.", show_default=False)],
    version: Annotated[int, typer.Option("--version", min=1, help="Of the model in the store.")] = 1,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Lines of a class's id and name, in the order of the scores."),
    ] = None,
    store: TargetStore = DEFAULT_STORE,
    as_json: AsJson = False,
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
    from zfscope.store.write import check_free

    check_free(store, name, version)
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
    report(folder, name, store, as_json=as_json, warnings=warnings)


def report(folder: Path, name: str, store: Path, *, as_json: bool, warnings: "Sequence[Notice]" = ()) -> None:
    """Print where a model is that was added to the store, and what was assumed of it."""
    if as_json:
        about = {"model": name, "version": int(folder.name), "folder": str(folder)}
        print_json({**about, "warnings": warnings_json(warnings)})
    else:
        print_warnings(warnings)
        echo(f"The model is in {folder}; look at it with: zfscope models {name} --store {store}")
