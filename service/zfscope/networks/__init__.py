"""What a network is: a list of named layers as data, and the module that runs it."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from zfscope.networks.alexnet import alexnet
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.zfnet import NetworkFactory, zfnet, zfnet_b

if TYPE_CHECKING:
    from zfscope.networks.network import Network, build

NETWORKS: Mapping[str, NetworkFactory] = {"zfnet": zfnet, "zfnet-b": zfnet_b, "alexnet": alexnet}
"""The networks that users name, each a function of `classes` and `hidden`."""

__all__ = ["NETWORKS", "Network", "NetworkSpec", "alexnet", "build", "zfnet", "zfnet_b"]

# They bring torch, which a network as data does without: loaded when they are first used.
_MODULES = ("Network", "build")


def __getattr__(name: str) -> Any:
    """Load a name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module("zfscope.networks.network"), name)
