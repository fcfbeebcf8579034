"""Measurements of one model's architecture."""

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
from zfscope_analyzers.architectures.grids import (
    Grid,
    axis_profile,
    is_resolved,
    measure_grids,
    power_spectra,
)
from zfscope_analyzers.architectures.layers import FirstLayers, first_layers
from zfscope_analyzers.architectures.projections import evenly_spaced, map_responses
from zfscope_analyzers.architectures.spectrum import Spectrum, filter_spectrum

# Maximum number of layer-2 maps to project when measuring grids.
PROJECTED_MAPS = 64
# Number of these projections that the figure shows.
SHOWN_MAPS = 9
_SEED = 0


@dataclass(frozen=True, eq=False)
class FilterSizes:
    """Root mean squares of n filters, (n,), and their median, `radius`, to which they can be renormalised.

    The paper's radius is 0.1, for pixel values of -128 to 128; filters scale with the preprocessing, so the
    median takes its place here.
    """

    rms: NDArray[np.float64]
    radius: float

    @property
    def renormalised(self) -> NDArray[np.float64]:
        """RMS after the renormalisation of Sec 3: filters beyond the radius are scaled down to it."""
        return np.minimum(self.rms, self.radius)

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Mask of the dead filters, by the definition that a training run uses."""
        return dead_filters(self.rms)

    @property
    def dominance(self) -> float | None:
        """Largest RMS divided by the median: 1 if no filter dominates; None if most filters are zero."""
        largest = float(self.rms.max())
        return largest / self.radius if self.radius > rounding(largest) else None


@dataclass(frozen=True, eq=False)
class Measurements:
    """Measurements of a model's architecture by the criteria of Sec 4.1 and Fig 6.

    filters:         float32 (n, 3, k, k), RGB, or (n, 1, k, k), grey: the learnt filters of the first layer.
    sizes:           root mean squares of these filters.
    spectrum:        power spectra of those filters that are not dead.
    maxima:          for layers 1 and 2, by name, (maps,): the largest activation on any photo, before
                     rectification; a map whose maximum is at most 0 is silent.
    grids:           grids in projections of layer 2, for every lattice that the network's input resolves.
    control_grids:   the same with random weights of the same scale: the effect of the architecture alone.
    profile:         power of the projections at 0, 1/size ... 1/2 cycles per pixel, see `axis_profile`.
    projections:     float32 (up to SHOWN_MAPS, 3 or 1, H, W), some of the projections, RGB or grey.
    accuracy:        accuracy recorded in the manifest; None if it has none.
    multiplications: multiply-accumulate operations of a forward pass. parameters: weights and biases.
    """

    name: str
    version: int
    layers: FirstLayers
    filters: NDArray[np.float32]
    sizes: FilterSizes
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
        """Name and version of the model, as shown in figures and tables."""
        return f"{self.name} {self.version}"


def measure(model: Model, photos: Sequence[NDArray[np.uint8]]) -> Measurements:
    """Measure a model on one or more photos, each uint8 (height, width, 3) in RGB.

    Raises InputError without a photo, for a network without layers 1 and 2 or with first-layer filters larger
    than 32 pixels, and for a photo that the model's preprocessing cannot use.
    """
    if not photos:
        raise InputError("no photos; at least one is needed to measure silent maps and grids", field="images")
    network, spec = model.network, model.network.spec
    layers = first_layers(spec)
    names = (layers.first.name, layers.second.name)
    control = randomised(network, until=names[1], generator=torch.Generator().manual_seed(_SEED))
    filters = reorder(array(network.filters[names[0]].weight), model.preprocessing)
    images = _images(model, photos)
    learnt, random = (
        map_responses(each, images, names, max_maps=PROJECTED_MAPS) for each in (network, control)
    )
    power = power_spectra(learnt.projections)
    lattices = [lattice for lattice in layers.lattices if is_resolved(lattice, network.shapes[INPUT][1])]
    return Measurements(
        name=model.name,
        version=model.version,
        layers=layers,
        filters=filters,
        sizes=filter_sizes(filters),
        spectrum=filter_spectrum(_alive(filters, model), layers.stride),
        maxima=learnt.maxima,
        grids=measure_grids(power, lattices),
        control_grids=measure_grids(power_spectra(random.projections), lattices),
        profile=axis_profile(power),
        projections=reorder(evenly_spaced(learnt.projections, SHOWN_MAPS), model.preprocessing),
        accuracy=model.manifest.accuracy,
        multiplications=multiplications(spec),
        parameters=parameter_count(spec),
    )


def filter_sizes(filters: NDArray[np.floating]) -> FilterSizes:
    """Return the root mean squares of filters (n, colours, k, k)."""
    rms = np.sqrt((filters.astype(np.float64) ** 2).mean(axis=(1, 2, 3)))
    return FilterSizes(rms, float(np.median(rms)))


def _alive(filters: NDArray[np.float32], model: Model) -> NDArray[np.float32]:
    """Return the filters that are not dead. Raises InputError if all are."""
    alive = filters[~filter_sizes(filters).dead]
    if not len(alive):
        raise InputError(f"{model.manifest.title}: all filters of its first layer are zero", field="models")
    return alive


def _images(model: Model, photos: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
    mean, preprocessing = model.mean_image, model.preprocessing
    prepared = (
        prepare(photo, preprocessing, mean_image=mean, field=f"images[{index}]")
        for index, photo in enumerate(photos)
    )
    return [images_of(model, each.pixels) for each in prepared]
