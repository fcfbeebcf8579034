"""Networks: lists of named layers as data, and the torch module that runs them."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from zfscope.networks.alexnet import alexnet
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.zfnet import NetworkFactory, zfnet, zfnet_b

if TYPE_CHECKING:
    from zfscope.networks.network import Network, build

# Networks that can be trained, by name.
NETWORKS: Mapping[str, NetworkFactory] = {"zfnet": zfnet, "zfnet-b": zfnet_b, "alexnet": alexnet}

__all__ = ["NETWORKS", "Network", "NetworkSpec", "alexnet", "build", "zfnet", "zfnet_b"]

# Names that import torch, loaded on first use: networks as data do not need it.
_MODULES = ("Network", "build")


def __getattr__(name: str) -> Any:
    """Import a name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module("zfscope.networks.network"), name)
