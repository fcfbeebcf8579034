"""What a network is: a list of named layers as data, and the module that runs it."""

from collections.abc import Mapping

from zfscope.networks.alexnet import alexnet
from zfscope.networks.network import Network, build
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.zfnet import NetworkFactory, zfnet, zfnet_b

NETWORKS: Mapping[str, NetworkFactory] = {"zfnet": zfnet, "zfnet-b": zfnet_b, "alexnet": alexnet}
"""The networks that users name, each a function of `classes` and `hidden`."""

__all__ = ["NETWORKS", "Network", "NetworkSpec", "alexnet", "build", "zfnet", "zfnet_b"]
