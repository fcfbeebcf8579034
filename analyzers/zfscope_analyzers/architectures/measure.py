"""All measures of one model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zfscope.analysis.contract import array, images_of
from zfscope.analysis.control import randomised
from zfscope.errors import InputError
from zfscope.images.preprocess import prepare, reorder
from zfscope.networks.spec import INPUT, multiplications, parameter_count
from zfscope.rounding import rounding
from zfscope.store import Model, RecordedAccuracy
from zfscope.training.filters import dead_filters
from zfscope_analyzers.architectures.grids import Grid, axis_profile, fits, grids, spectra
from zfscope_analyzers.architectures.layers import FirstLayers, first_layers
from zfscope_analyzers.architectures.projections import see, spread
from zfscope_analyzers.architectures.spectrum import Spectrum, spectrum

PROJECTED = 64
"""Maps of layer 2 that are projected to look for grids."""
SHOWN = 9
"""Of these, how many are kept to be looked at."""
_SEED = 0


@dataclass(frozen=True, eq=False)
class Sizes:
    """The root mean squares of n filters, (n,): as they are, and renormalised to `radius`, their median.

    The paper's radius is 0.1, for pixels of -128 to 128; another preprocessing makes filters of other sizes.
    """

    rms: NDArray[np.float64]
    radius: float

    @property
    def renormalised(self) -> NDArray[np.float64]:
        """What the renormalisation of Sec 3 leaves: those beyond the radius are scaled down to it."""
        return np.minimum(self.rms, self.radius)

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Which filters are dead, as a training run counts them."""
        return dead_filters(self.rms)

    @property
    def dominance(self) -> float | None:
        """The largest over the median: 1 where none stands out. None where most filters are zero."""
        largest = float(self.rms.max())
        return largest / self.radius if self.radius > rounding(largest) else None


@dataclass(frozen=True, eq=False)
class Measures:
    """What is known of a model's architecture, as Sec 4.1 and Fig 6 look at it.

    filters:         float32 (n, 3, k, k), the first layer's, in RGB, as they were learnt.
    sizes:           of these filters.
    spectrum:        of those that are not dead.
    maxima:          of layers 1 and 2, by name, (maps,): the largest activation on any photo, before it is
                     rectified; a map at 0 or below is silent.
    grids:           of projections of layer 2, for every lattice that the network's input resolves.
    control_grids:   the same through random weights of the same size: what the architecture alone does.
    profile:         of the projections' power, at 0, 1/size ... 1/2 cycles per pixel: see `axis_profile`.
    projections:     float32 (up to SHOWN, 3, H, W): some of the projections, in RGB.
    accuracy:        as the manifest states it; None where it does not.
    multiplications: multiply-accumulates of a forward pass. parameters: weights and biases.
    """

    name: str
    version: int
    layers: FirstLayers
    filters: NDArray[np.float32]
    sizes: Sizes
    spectrum: Spectrum
    maxima: Mapping[str, NDArray[np.float32]]
    grids: tuple[Grid, ...]
    control_grids: tuple[Grid, ...]
    profile: NDArray[np.float64]
    projections: NDArray[np.float32]
    accuracy: RecordedAccuracy | None
    multiplications: int
    parameters: int

    @property
    def title(self) -> str:
        """The model in a word or two."""
        return f"{self.name} {self.version}"


def measure(model: Model, photos: Sequence[NDArray[np.uint8]]) -> Measures:
    """Measure a model on photos, uint8 (height, width, 3) RGB each, at least one.

    Raises InputError for no photo, for a network without layers 1 and 2 or with larger first filters than
    32 pixels, and for a photo that the model's preprocessing cannot use.
    """
    if not photos:
        raise InputError("no photo; whether maps are silent or show grids needs at least one", field="images")
    network, spec = model.network, model.network.spec
    layers = first_layers(spec)
    names = (layers.first.name, layers.second.name)
    control = randomised(network, until=names[1], generator=torch.Generator().manual_seed(_SEED))
    filters = reorder(array(network.filters[names[0]].weight), model.preprocessing)
    images = _images(model, photos)
    seen, other = (see(each, images, names, most=PROJECTED) for each in (network, control))
    power = spectra(seen.projections)
    lattices = [lattice for lattice in layers.lattices if fits(lattice, network.shapes[INPUT][1])]
    return Measures(
        name=model.name,
        version=model.version,
        layers=layers,
        filters=filters,
        sizes=sizes(filters),
        spectrum=spectrum(_alive(filters, model), layers.stride),
        maxima=seen.maxima,
        grids=grids(power, lattices),
        control_grids=grids(spectra(other.projections), lattices),
        profile=axis_profile(power),
        projections=reorder(spread(seen.projections, SHOWN), model.preprocessing),
        accuracy=model.manifest.accuracy,
        multiplications=multiplications(spec),
        parameters=parameter_count(spec),
    )


def sizes(filters: NDArray[np.floating]) -> Sizes:
    """Measure filters (n, colours, k, k)."""
    rms = np.sqrt((filters.astype(np.float64) ** 2).mean(axis=(1, 2, 3)))
    return Sizes(rms, float(np.median(rms)))


def _alive(filters: NDArray[np.float32], model: Model) -> NDArray[np.float32]:
    """Leave dead filters out. Raises InputError where none is left."""
    alive = filters[~sizes(filters).dead]
    if not len(alive):
        raise InputError(f"{model.manifest.title}: all filters of its first layer are zero", field="models")
    return alive


def _images(model: Model, photos: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
    mean, preprocessing = model.mean_image, model.preprocessing
    prepared = (
        prepare(photo, preprocessing, mean_image=mean, field=f"images[{place}]")
        for place, photo in enumerate(photos)
    )
    return [images_of(model, each.pixels) for each in prepared]
