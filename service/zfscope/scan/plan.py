"""The plan of a scan: layers, number of photos per map, and ranking."""

from collections.abc import Sequence
from dataclasses import dataclass

from zfscope.engine.seeds import Rank
from zfscope.errors import InputError
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.stages import stages

# Maximum number of records per map: 13 MB with zfnet's 1,376 maps.
MAX_TOP = 256


@dataclass(frozen=True)
class ScanPlan:
    """Parameters of a scan.

    layers: in the order of evaluation. top: number of records per map. rank: rank photos by the map's largest
    activation (`max`) or by the sum of its activations (`sum`).
    """

    layers: tuple[str, ...]
    top: int = 9
    rank: Rank = "max"

    @property
    def sums(self) -> bool:
        """Whether photos are ranked by sums."""
        return self.rank == "sum"


def plan_scan(spec: NetworkSpec, layers: Sequence[str] = (), *, top: int = 9, rank: Rank = "max") -> ScanPlan:
    """Return the plan of a scan; by default of all convolutional layers, with the paper's top 9.

    By default, that of an opaque network has its stages with maps.

    Raises NotFound for an unknown layer, InputError for an ambiguous one, if `top` is not 1 to 256, and if no
    layers are given and the network has no convolution.
    """
    named = {spec.layer(layer, field="layers").name for layer in layers}
    if not 1 <= top <= MAX_TOP:
        raise InputError(f"top is {top}; allowed: 1 to {MAX_TOP}", field="top")
    selected = named or set(spec.convolutions) or _stages_with_maps(spec)
    if not selected:
        raise InputError("the model has no convolutional layers; name the layers to index", field="layers")
    return ScanPlan(tuple(layer.name for layer in spec.layers if layer.name in selected), top, rank)


def _stages_with_maps(spec: NetworkSpec) -> set[str]:
    """Return the stages of an opaque network that have maps; empty for others."""
    names = stages(spec, has_classes=True) if spec.is_opaque else ()
    return {name for name in names if spec.has_maps(name)}
