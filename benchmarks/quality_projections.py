"""Measures of projections for `benchmarks.quality`: similarity to their control, and grids."""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import mean

import torch
from rich.progress import track
from torch import Tensor

from zfscope.analysis.contract import array
from zfscope.analysis.control import Similarity, control_network, project_control, similarities
from zfscope.engine import project, receptive_fields, strongest_units, trace
from zfscope.engine.cpu.threads import single_core_pool
from zfscope.engine.seeds import activation
from zfscope.images.geometry import Box
from zfscope.networks import Network
from zfscope.networks.spec import INPUT
from zfscope.store import Model
from zfscope_analyzers.architectures.grids import Grid, is_resolved, measure_grids, power_spectra
from zfscope_analyzers.architectures.layers import first_layers, lattices
from zfscope_analyzers.architectures.measure import PROJECTED_MAPS
from zfscope_analyzers.architectures.projections import map_responses

# Strongest maps of each photo that are compared with their control.
MAPS = 9


def control_similarity(
    model: Model, images: Sequence[Tensor], layers: Sequence[str]
) -> Mapping[str, Mapping[str, float]]:
    """Return, for each layer, the mean similarity of projections and their controls.

    The projections are those of the nine strongest maps of each image, (1, C, H, W), except for those without
    an activation above 0. layers: in network order.
    """
    control = control_network(model.network, layers[-1])
    compare = partial(_compare, model.network, control, layers=layers)
    pool = single_core_pool(torch.get_num_threads())
    found = list(track(pool.map(compare, images), f"{model.name}, control:", len(images), transient=True))
    return {layer: means([each for photo in found for each in photo[layer]]) for layer in layers}


def means(similar: Sequence[Similarity]) -> Mapping[str, float]:
    """Return the number of units and the means of both measures, without those of constant projections."""
    ranks = [each.rank_correlation for each in similar if each.rank_correlation is not None]
    ssims = [each.ssim for each in similar if each.ssim is not None]
    return {"units": len(ranks), "rank": mean(ranks), "ssim": mean(ssims)}


def _compare(
    network: Network, control: Network, image: Tensor, *, layers: Sequence[str]
) -> Mapping[str, Sequence[Similarity]]:
    fields, traced = receptive_fields(network.spec), trace(network, image, until=layers[-1])
    result: dict[str, Sequence[Similarity]] = dict.fromkeys(layers, ())
    for layer in layers:
        units = [u for u in strongest_units(traced, layer, 0, MAPS) if activation(traced, layer, u) > 0]
        if not units:
            continue
        real = project(network, traced, layer, units)
        other = project_control(control, image, layer, units, rule="deconvnet", normalisation="skip")
        boxes = [Box(*fields[layer].box(unit.y, unit.x)) for unit in units]
        result[layer] = similarities(array(real), array(other), boxes)
    return result


def lattice_energy(
    model: Model, images: Sequence[Tensor], layers: Sequence[str]
) -> Mapping[str, Mapping[str, float]]:
    """Return, for each layer, the strength of the lattices of its strides in the projections of its maps.

    Lattices too coarse for the images to resolve are left out.
    """
    pool = single_core_pool(torch.get_num_threads())
    found = pool.map(partial(_lattice_energy, model, images), layers)
    results = track(found, f"{model.name}, lattice:", len(layers), transient=True)
    return dict(zip(layers, results, strict=True))


def _lattice_energy(model: Model, images: Sequence[Tensor], layer: str) -> Mapping[str, float]:
    projections = map_responses(model.network, images, (layer,), max_maps=PROJECTED_MAPS).projections
    known, size = lattices(model.spec, model.spec.layer(layer)), model.network.shapes[INPUT][1]
    grids = measure_grids(power_spectra(projections), [each for each in known if is_resolved(each, size)])
    return {"maps": len(projections), **summed(grids)}


def summed(grids: Sequence[Grid]) -> Mapping[str, float]:
    """Return the share of the energy on all lattices, and its excess over adjacent frequencies."""
    share, control = (sum(float(getattr(g, name).mean()) for g in grids) for name in ("shares", "controls"))
    return {"share": share, "excess": share - control}


def second_layer(model: Model) -> str:
    """Return layer 2, as in a comparison of architectures."""
    return first_layers(model.spec).second.name
