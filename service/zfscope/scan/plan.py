"""What a scan looks for: which layers, how many photos of each map, and what ranks them."""

from collections.abc import Sequence
from dataclasses import dataclass

from zfscope.engine.seeds import Rank
from zfscope.errors import InputError
from zfscope.networks.spec import NetworkSpec

MAX_TOP = 256
"""Records of a map at most: with zfnet's 1,376 maps that is 13 MB."""


@dataclass(frozen=True)
class ScanPlan:
    """What a scan looks for.

    layers: in the order of evaluation. top: records of each map. rank: what photos are ranked by: the
    largest activation of the map, or the sum of all of them.
    """

    layers: tuple[str, ...]
    top: int = 9
    rank: Rank = "max"

    @property
    def sums(self) -> bool:
        """Whether photos are ranked by sums."""
        return self.rank == "sum"


def make_plan(spec: NetworkSpec, layers: Sequence[str] = (), *, top: int = 9, rank: Rank = "max") -> ScanPlan:
    """Plan a scan of some layers of a network, by default of all convolutions, with the paper's top 9.

    Raises NotFound for an unknown layer, InputError for a top that is not 1 to 256.
    """
    for layer in layers:
        spec.layer(layer, field="layers")
    if not 1 <= top <= MAX_TOP:
        raise InputError(f"top is {top}; allowed is 1 to {MAX_TOP}", field="top")
    wanted = set(layers) or set(spec.convolutions)
    if not wanted:
        raise InputError("the model has no convolution; name the layers to index", field="layers")
    return ScanPlan(tuple(layer.name for layer in spec.layers if layer.name in wanted), top, rank)
