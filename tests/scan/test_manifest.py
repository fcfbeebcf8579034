"""The inputs of an index."""

from zfscope.networks.layers import Dropout, ReLU
from zfscope.scan.manifest import model_identity
from zfscope.store import Manifest, Model


def test_the_network_hash_ignores_defaults_and_names(model: Model) -> None:
    manifest: Manifest = model.manifest
    conv, *others = manifest.network.layers
    said = conv.model_copy(update={"inputs": conv.inputs})
    same = manifest.network.model_copy(update={"layers": (said, *others), "name": "another"})
    assert model_identity(manifest.model_copy(update={"network": same})) == model_identity(manifest)
    other = manifest.network.model_copy(update={"layers": (Dropout(name=conv.name), *others)})
    plain = manifest.network.model_copy(update={"layers": (ReLU(name=conv.name), *others)})
    hashes = {
        model_identity(manifest.model_copy(update={"network": network})).network_sha256
        for network in (manifest.network, other, plain)
    }
    assert len(hashes) == 3
