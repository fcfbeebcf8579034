"""The inputs of an index."""

from zfscope.networks.layers import Dropout, ReLU
from zfscope.scan.manifest import model_identity
from zfscope.store import Manifest, Model


def test_the_network_hash_ignores_defaults_and_names(model: Model) -> None:
    manifest: Manifest = model.manifest
    conv, *others = manifest.network.layers
    explicit = conv.model_copy(update={"inputs": conv.inputs})
    equivalent = manifest.network.model_copy(update={"layers": (explicit, *others), "name": "another"})
    assert model_identity(manifest.model_copy(update={"network": equivalent})) == model_identity(manifest)
    dropout = manifest.network.model_copy(update={"layers": (Dropout(name=conv.name), *others)})
    relu = manifest.network.model_copy(update={"layers": (ReLU(name=conv.name), *others)})
    hashes = {
        model_identity(manifest.model_copy(update={"network": network})).network_sha256
        for network in (manifest.network, dropout, relu)
    }
    assert len(hashes) == 3
