"""What the watched map saw in the photo as it is, and what it would have seen without having learnt."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import array
from zfscope.analysis.control import Similarity, project_control, similarities
from zfscope.engine.deconvnet import project
from zfscope.engine.seeds import is_silent
from zfscope.images.geometry import Box
from zfscope.networks.receptive import receptive_fields
from zfscope_analyzers.occlude.scene import Scene


@dataclass(frozen=True, eq=False)
class Projected:
    """The projection of the map's strongest unit, and of the control, None without one: float32 (3, H, W)."""

    pixels: NDArray[np.float32]
    control: NDArray[np.float32] | None
    alike: Similarity
    silent: bool
    """The unit's activation is rounding, and so is the projection."""

    @property
    def shown(self) -> NDArray[np.float32]:
        """The projection as it is drawn: rounding is drawn as zero."""
        return np.zeros_like(self.pixels) if self.silent else self.pixels


def projected(scene: Scene) -> Projected:
    """Project the map's strongest unit, and the control where it was asked for."""
    params, network, unit = scene.params, scene.model.network, scene.unit
    pixels = array(project(network, scene.traced, params.layer, [unit]))
    silent = is_silent(scene.traced, params.layer, unit)
    if not params.control:
        return Projected(pixels[0], None, Similarity(None, None), silent)
    images = scene.traced.outputs["input"]
    seen = project_control(
        network,
        images,
        params.layer,
        [unit],
        rule="deconvnet",
        normalisation="skip",
        down_to=params.control_down_to,
    )
    control = array(seen)
    field = Box(*receptive_fields(network.spec)[params.layer].box(unit.y, unit.x))
    return Projected(pixels[0], control[0], similarities(pixels, control, [field])[0], silent)
