"""Networks: layers as data, and the torch module that runs them."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from zfscope.networks.alexnet import alexnet
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.zfnet import NetworkFactory, zfnet, zfnet_b

if TYPE_CHECKING:
    from zfscope.networks.network import Network, build

# Networks for training, by name.
NETWORKS: Mapping[str, NetworkFactory] = {"zfnet": zfnet, "zfnet-b": zfnet_b, "alexnet": alexnet}

__all__ = ["NETWORKS", "Network", "NetworkSpec", "alexnet", "build", "zfnet", "zfnet_b"]

# Names that need torch; imported on first use, since networks as data do not need it.
_TORCH_NAMES = ("Network", "build")


def __getattr__(name: str) -> Any:
    """Import a name on first use."""
    if name not in _TORCH_NAMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module("zfscope.networks.network"), name)
