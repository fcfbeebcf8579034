"""The findings of the paper as numbers, each with a control, for `benchmarks.truth`."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from statistics import mean, median
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from scipy.stats import spearmanr
from torch import Tensor

from benchmarks.faithfulness_table import parameters_of
from benchmarks.quality_features import TESTED, TRAINED, probe
from benchmarks.quality_objects import ObjectBox, occlusion
from benchmarks.quality_projections import summed
from benchmarks.rectification_measures import Field, removed_energy
from zfscope import LocalClient
from zfscope.analysis.control import control_network, strongest_at_positions
from zfscope.answers import FaithfulnessResult, InvariancePhoto
from zfscope.datasets import DataSet
from zfscope.engine import Trace, Unit, project, strongest_units, trace
from zfscope.engine.frame import unit_frame
from zfscope.engine.seeds import activation
from zfscope.errors import InputError
from zfscope.networks import Network
from zfscope.networks.spec import INPUT
from zfscope.networks.stages import deep_stages
from zfscope.networks.windows import Window
from zfscope.runtimes import create_runtime
from zfscope.store import Model, ModelStore, Weights
from zfscope_analyzers.architectures.measure import measure

# Strongest maps of each photo that are projected.
MAPS = 4
# Maximum number of photos of a call that measures invariance.
INVARIANCE_PHOTOS = 16
# Transformations of the invariance, each with the value that the findings state.
TRANSFORMATIONS = {"vertical": 6.0, "scale": 1.1, "rotation": 20.0}


class Finding(NamedTuple):
    """A number of the paper's subject, and what it would be without what is to be shown.

    of: layer, method or transformation. control: the same of a control. count: photos or units measured.
    """

    of: str
    value: float
    control: float
    count: int


Findings = Sequence[Finding]


def switches(model: Model, images: Sequence[Tensor]) -> Findings:
    """Rank correlation of a projection's energy with the photo's contrast, in 36 cells of the unit's field.

    Means over units. Control: the same units, with switches at random positions of their windows.
    """
    generator = torch.Generator().manual_seed(0)

    def of_units(
        network: Network, traced: Trace, layer: str, units: Sequence[Unit]
    ) -> Iterator[Sequence[float]]:
        moved = replace(traced, switches=random_switches(network, traced, generator))
        kept, lost = (project(network, each, layer, units).numpy() for each in (traced, moved))
        image = traced.outputs[INPUT][0].numpy()
        for unit, own, other in zip(units, kept, lost, strict=True):
            box = unit_frame(network.spec, layer).box(unit.y, unit.x).clip((image.shape[1], image.shape[2]))
            yield [_contrast_correlation(Field(image, box), each) for each in (own, other)]

    return [_means(layer, rows) for layer, rows in _by_unit(model, images, "switches", of_units)]


def _contrast_correlation(field: Field, projection: NDArray[np.float32]) -> float:
    energy = field.energy(field.part(torch.from_numpy(projection)))
    return float(spearmanr(energy.ravel(), field.contrast.ravel()).statistic)


def random_switches(network: Network, traced: Trace, generator: torch.Generator) -> Mapping[str, Tensor]:
    """Return switches at random positions of their windows, for each max-pooling layer of a trace."""
    moved = {}
    for layer, switches in traced.switches.items():
        window = network.spec.by_name[layer].window
        assert window is not None
        (source,) = network.spec.sources[layer]
        rows, columns = traced.outputs[source].shape[2:]
        left, top, _, _ = window.padding
        y = _random_positions(switches, window, 0, rows, top, generator)
        x = _random_positions(switches, window, 1, columns, left, generator)
        moved[layer] = y * columns + x
    return moved


def _random_positions(
    switches: Tensor, window: Window, axis: int, size: int, before: int, generator: torch.Generator
) -> Tensor:
    """Return a random row (axis 0) or column (axis 1), inside the map, of each switch's window.

    size: rows or columns of the map. before: padding above or to the left of it.
    """
    start = torch.arange(switches.shape[2 + axis]) * window.stride[axis] - before
    offset = torch.randint(window.kernel[axis], switches.shape, generator=generator) * window.dilation[axis]
    return ((start[:, None] if axis == 0 else start) + offset).clamp(0, size - 1)


def rectification(model: Model, images: Sequence[Tensor]) -> Findings:
    """Share of the signal's energy that the deconvnet removes at all ReLUs on the way, mean over them.

    Medians over units. Control: randomised weights, the unit of the strongest map at the same position.
    """
    control = control_network(model.network, _layers(model)[-1])

    def of_units(
        network: Network, traced: Trace, layer: str, units: Sequence[Unit]
    ) -> Iterator[Sequence[float]]:
        random = trace(control, traced.outputs[INPUT], until=layer)
        own = removed_energy(network, traced, layer, units)
        other = removed_energy(control, random, layer, strongest_at_positions(random, layer, units))
        for pairs in zip(own, other, strict=True):
            if all(pairs):
                yield [mean(shares.values()) for shares in pairs]

    return [
        Finding(layer, *(median(column) for column in zip(*rows, strict=True)), len(rows))
        for layer, rows in _by_unit(model, images, "rectification", of_units)
    ]


def settling(store: ModelStore, model: Model, images: Sequence[Tensor]) -> Findings:
    """Correlation of a unit's final projection with that of the first stored epoch (Fig 4).

    Means over units. Control: correlation with the projection by randomised weights. Empty for a model
    without checkpoints.
    """
    epochs = model.manifest.checkpoints
    if not epochs:
        return []
    first = min(each.epoch for each in epochs)
    early = store.load_checkpoint(model.name, first, model.version).network
    layers = [layer for layer in _layers(model) if layer in early.shapes]
    control = control_network(model.network, layers[-1])

    def of_units(
        network: Network, traced: Trace, layer: str, units: Sequence[Unit]
    ) -> Iterator[Sequence[float]]:
        image = traced.outputs[INPUT]
        others = [
            project(each, trace(each, image, until=layer), layer, units).numpy() for each in (early, control)
        ]
        final = project(network, traced, layer, units).numpy()
        for own, *compared in zip(final, *others, strict=True):
            if all(each.any() for each in compared):  # an epoch's unit may be silent
                yield [float(np.corrcoef(own.ravel(), each.ravel())[0, 1]) for each in compared]

    return [
        _means(f"{layer}, epoch {first}", rows)
        for layer, rows in _by_unit(model, images, "settling", of_units, layers=layers)
    ]


def invariance(
    client: LocalClient, model: Model, photos: Sequence[bytes], images: Sequence[Tensor]
) -> Findings:
    """Distance of a layer's features after a small transformation, divided by their norm (Fig 5).

    Of the first and the last layer, means over photos. Control: the distance between two different photos,
    divided by the norm of one, mean over all pairs.
    """
    measured: list[InvariancePhoto] = []
    for start in range(0, len(photos), INVARIANCE_PHOTOS):
        measured += client.measure_invariance(
            photos[start : start + INVARIANCE_PHOTOS],
            translations_px=[TRANSFORMATIONS["vertical"]],
            scales=[TRANSFORMATIONS["scale"]],
            rotations_deg=[TRANSFORMATIONS["rotation"]],
            model=model.name,
            version=model.version,
            pictures=False,
        ).photos
    layers = [each.layer for each in measured[0].curves[0].layers]
    between = _between_photos(model, images, layers)
    findings = []
    for number, (name, value) in enumerate(TRANSFORMATIONS.items()):
        for index, layer in enumerate(layers):
            distances = [photo.curves[number].layers[index].normalised_distances[0] for photo in measured]
            findings.append(
                Finding(f"{name} {value:g}, {layer}", mean(distances), between[layer], len(photos))
            )
    return findings


def _between_photos(model: Model, images: Sequence[Tensor], layers: Sequence[str]) -> Mapping[str, float]:
    features = create_runtime("torch", model).outputs(torch.cat([*images]).numpy(), layers)
    return {
        layer: mean(
            float(np.linalg.norm(one - other) / np.linalg.norm(one)) for one, other in combinations(values, 2)
        )
        for layer, values in features.items()
    }


def filters(model: Model, photos: Sequence[NDArray[np.uint8]]) -> Findings:
    """Fig 6: middle frequencies of the first filters, maps that no photo activates, grids in layer 2.

    Shares of energy, of maps, and of the energy of projections on the lattices of the strides below. Control:
    randomised weights. photos: uint8 (height, width, 3).
    """
    control = replace(model, weights=Weights.from_network(control_network(model.network, model.spec.scores)))
    own, other = measure(model, photos), measure(control, photos)
    pairs = {
        f"middle frequencies, {own.layers.first.name}": [
            each.spectrum.mean_shares["middle"] for each in (own, other)
        ],
        **{
            f"silent maps, {layer}": [float((each.maxima[layer] <= 0).mean()) for each in (own, other)]
            for layer in own.maxima
        },
        f"grids, {own.layers.second.name}": [
            summed(each)["share"] for each in (own.grids, own.control_grids)
        ],
    }
    return [Finding(of, value, random, len(photos)) for of, (value, random) in pairs.items()]


def occluded_objects(
    client: LocalClient, model: Model, data: DataSet, objects: Mapping[str, ObjectBox]
) -> Findings:
    """Share of photos whose occlusion map of the object's class is lowest inside the object's box (Fig 7).

    Control: share of the network's input that the box covers. Empty without objects of the model's classes.
    """
    found = occlusion(client, model, [data], objects)
    return [
        Finding("lowest inside", row["inside"], row["chance"], int(row["photos"]))
        for name, row in found.items()
        if name == "all"
    ]


def deletion(client: LocalClient, model: Model, photos: Sequence[bytes], methods: Sequence[str]) -> Findings:
    """Area under the curve of deletion of the most likely class, by method; lower is better.

    Means over photos. Controls: random orders of the pixels, and the same method with randomised weights. A
    photo on which a method fails is left out.
    """
    rows: dict[str, list[tuple[float, float]]] = {}
    for photo in track(photos, f"{model.name}, deletion:", transient=True):
        for method in methods:
            try:
                result = client.measure_faithfulness(
                    [photo],
                    **parameters_of(method),
                    model=model.name,
                    version=model.version,
                    pictures=False,
                )
            except InputError:  # an attribution that is the same everywhere
                continue
            area = _mean_of(result, "deletion_area")
            rows.setdefault(f"{method}, random orders", []).append((area, _mean_of(result, "random_area")))
            control = _mean_of(result, "control_deletion_area")
            rows.setdefault(f"{method}, random weights", []).append((area, control))
    return [_means(of, pairs) for of, pairs in rows.items()]


def _mean_of(result: FaithfulnessResult, measure: str) -> float:
    value = result.mean(measure)
    assert value is not None, measure
    return value


def probed(model: Model, data: DataSet) -> Findings:
    """Accuracy of a linear classifier of the data's classes by each layer's features (Table 7), 0 to 1.

    Control: chance. Empty unless two classes have enough photos.
    """
    counts = Counter(data.labels)
    classes = [name for name in data.classes if counts[name] >= TRAINED + TESTED]
    if len(classes) < 2:
        return []
    tested = len(classes) * TESTED
    return [
        Finding(layer, row["accuracy"], 1 / len(classes), tested)
        for layer, row in probe(model, data, ()).items()
    ]


Measure = Callable[[Network, Trace, str, Sequence[Unit]], Iterator[Sequence[float]]]


def _by_unit(
    model: Model, images: Sequence[Tensor], title: str, measure: Measure, *, layers: Sequence[str] = ()
) -> Iterator[tuple[str, list[Sequence[float]]]]:
    """Yield, for each layer, what `measure` yields for the strongest units of all images, if anything."""
    layers = layers or _layers(model)
    rows: dict[str, list[Sequence[float]]] = {layer: [] for layer in layers}
    for image in track(images, f"{model.name}, {title}:", transient=True):
        traced = trace(model.network, image, until=layers[-1])
        for layer in layers:
            units = [
                unit
                for unit in strongest_units(traced, layer, 0, MAPS)
                if activation(traced, layer, unit) > 0
            ]
            rows[layer] += measure(model.network, traced, layer, units) if units else ()
    yield from ((layer, values) for layer, values in rows.items() if values)


def _layers(model: Model) -> Sequence[str]:
    """Return the last four stages with maps larger than a pixel."""
    return deep_stages(model.spec, has_classes=bool(model.labels), count=4)


def _means(of: str, rows: Sequence[Sequence[float]]) -> Finding:
    value, control = (mean(column) for column in zip(*rows, strict=True))
    return Finding(of, value, control, len(rows))
