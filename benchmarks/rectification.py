"""Is the ReLU on the way down needed? Projections with and without it, on many units of trained networks.

    python -m benchmarks.rectification photos/val
    python -m benchmarks.rectification photos/val --model squeezenet-imagenet --layers fire3,fire5,fire7,fire9

From evenly spaced photos of a data set, the strongest unit of each of the strongest maps of a layer is
projected in four ways, always with the switches of the forward pass:

- deconvnet: the signal is rectified at each ReLU (the paper)
- linear: the signal passes each ReLU unchanged
- gradient: the signal is masked where the unit was inactive in the forward pass
- guided: both rectified and masked

The linear projection is that of `project` on a network whose ReLUs are replaced by a layer that does nothing;
the trace is that of the network itself. Each measure is the median over the units, within the receptive
field:

- deconvnet: similarity to the deconvnet's projection of the same unit
- control: similarity to the same kind of projection through the randomised weights of `analysis.control`
- other: similarity to the projection of the strongest other map at the same position of the same photo
- half: share of the pixels that hold half of the energy (the sum of squares)
- smooth: correlation of neighbouring pixels, the mean of both directions and all channels; 0 for white noise
- flat: share of the energy in the half of the field with less contrast in the photo, by cells: the field is
  divided into 6 x 6. An even distribution has 0.5
- left: activation of the unit, relative to its own, after the four cells with most energy are set to the mean
  colour. `random` and `contrast` are the same for four random cells and for those with most contrast
- lower: share of the units (not a median) for which `left` is lower than with the cells of the linear
  projection; equal ones count as half

Similarity is the structural similarity (`ssim`) and Spearman's rank correlation (`rank`), as in the control
of a projection; and `where`, the rank correlation of the energies of pixels, which ignores signs and colours.
`removed` is the share of energy that the deconvnet removes at each ReLU.

The last line is a JSON object for programs.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from benchmarks.clock import machine
from benchmarks.rectification_measures import (
    Field,
    UnitContext,
    location_correlation,
    medians,
    remaining,
    removed_energy,
    smoothness,
)
from benchmarks.sample_photos import sample_photos
from zfscope.analysis.control import control_network, similarity, strongest_at_positions
from zfscope.engine import Rule, Trace, Unit, project, strongest_units, trace
from zfscope.engine.frame import unit_frame
from zfscope.networks import Network
from zfscope.networks.layer import Layer
from zfscope.networks.layers import Dropout
from zfscope.networks.spec import NetworkSpec
from zfscope.store import open_store

LINEAR = "linear"
RULES: Mapping[str, Rule] = {
    "deconvnet": "deconvnet",
    LINEAR: "deconvnet",
    "gradient": "gradient",
    "guided": "guided",
}
LAYERS = "conv2,conv3,conv4,conv5"

# Values of a unit by measure; "rule.measure" for those of a rule. None: a similarity to a constant.
Values = Mapping[str, Any]


def main() -> None:
    """Measure all layers and print a table for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="data set: directory, tar or list of photos")
    parser.add_argument("--store", type=Path, help="model store (default: that of zfscope)")
    parser.add_argument("--model", default="", help="model (default: that of the store)")
    parser.add_argument("--layers", default=LAYERS, help=f"layers (default: {LAYERS})")
    parser.add_argument("--photos", type=int, default=32, help="number of photos (default: 32)")
    parser.add_argument("--units", type=int, default=4, help="units per photo and layer (default: 4)")
    options = parser.parse_args()
    console = Console(width=140)
    model = open_store(options.store).load(options.model)
    images = sample_photos(model, options.data, options.photos)
    console.print(f"{model.name} version {model.version}, {len(images)} photos; {machine()}")
    results = {}
    for layer in options.layers.split(","):
        units = measure_layer(model.network, images, layer, options.units)
        results[layer] = {"units": len(units), **medians(units), **lower(units)}
        console.print(table(layer, results[layer]))
    print(json.dumps({"benchmark": "rectification", "model": model.name, "photos": len(images), **results}))


def measure_layer(network: Network, images: Sequence[Tensor], layer: str, count: int) -> Sequence[Values]:
    """Measure the strongest unit of each of the `count` strongest maps of a layer, for each photo."""
    control = control_network(network, layer)
    plain = {id(each): without_rectifiers(each) for each in (network, control)}
    generator = torch.Generator().manual_seed(0)
    results: list[Values] = []
    for image in track(images, f"{layer}:", transient=True):
        traced, random = trace(network, image, until=layer), trace(control, image, until=layer)
        units = [unit for unit in strongest_units(traced, layer, 0, count) if _value(traced, layer, unit) > 0]
        others = [strongest_other(traced, layer, unit) for unit in units]
        own = project_all(network, plain[id(network)], traced, layer, [*units, *others])
        controls = project_all(
            control, plain[id(control)], random, layer, strongest_at_positions(random, layer, units)
        )
        removed = removed_energy(network, traced, layer, units)
        for index, unit in enumerate(units):
            box = unit_frame(network.spec, layer).box(unit.y, unit.x)
            field = Field(image[0].numpy(), box.clip((image.shape[2], image.shape[3])))
            projections = {
                rule: (values[index], values[len(units) + index], controls[rule][index])
                for rule, values in own.items()
            }
            context = UnitContext(network, traced, layer, unit, field)
            results.append({**measure_unit(context, projections, generator), **removed[index]})
    return results


def measure_unit(
    context: UnitContext, projections: Mapping[str, tuple[Tensor, Tensor, Tensor]], generator: torch.Generator
) -> dict[str, Any]:
    """Measure the projections of one unit.

    projections: by rule, those of the unit, of the other unit, and of the control.
    """
    field = context.field
    values: dict[str, Any] = {}
    cells = {"random": field.random(generator), "contrast": field.contrast}
    deconvnet = field.part(projections["deconvnet"][0])
    for rule, tensors in projections.items():
        own, other, control = (field.part(tensor) for tensor in tensors)
        for name, compared in (("deconvnet", deconvnet), ("other", other), ("control", control)):
            result = similarity(own, compared)
            values |= {
                f"{rule}.{name}.ssim": result.ssim,
                f"{rule}.{name}.rank": result.rank_correlation,
                f"{rule}.{name}.where": location_correlation(own, compared),
            }
        values |= {
            f"{rule}.half": field.half(own),
            f"{rule}.smooth": smoothness(own),
            f"{rule}.flat": field.flat_share(own),
        }
        cells[rule] = field.energy(own)
    for name, share in remaining(context, cells).items():
        values[f"{name}.left"] = share
    return values


def project_all(
    network: Network, plain: Network, traced: Trace, layer: str, units: Sequence[Unit]
) -> Mapping[str, Tensor]:
    """Return the projections of units by each rule: (units, C, H, W). plain: without rectifiers."""
    return {
        name: project(plain if name == LINEAR else network, traced, layer, units, rule=rule)
        for name, rule in RULES.items()
    }


def without_rectifiers(network: Network) -> Network:
    """Return a network with the same weights, whose ReLUs are the identity on the way down."""
    spec = network.spec
    layers = tuple(map(_without_rectifier, spec.layers))
    plain = Network(
        NetworkSpec(
            name=spec.name, input_channels=spec.input_channels, input_size=spec.input_size, layers=layers
        )
    )
    plain.layers = network.layers
    return plain


def _without_rectifier(layer: Layer) -> Layer:
    return Dropout(name=layer.name, inputs=layer.inputs) if layer.rectifies else layer


def strongest_other(traced: Trace, layer: str, unit: Unit) -> Unit:
    """Return the unit of the strongest other map at the position of a unit."""
    activations = traced.maps(layer)[unit.image, :, unit.y, unit.x].clone()
    activations[unit.map] = -torch.inf
    return Unit(unit.image, int(activations.argmax()), unit.y, unit.x)


def lower(units: Sequence[Values]) -> Mapping[str, float]:
    """Return the share of units for which a rule's cells leave less than those of the linear projection."""
    pairs = {rule: [(unit[f"{rule}.left"], unit[f"{LINEAR}.left"]) for unit in units] for rule in RULES}
    return {
        f"{rule}.lower": round(
            sum((own < linear) + (own <= linear) for own, linear in pair) / (2 * len(units)), 3
        )
        for rule, pair in pairs.items()
        if rule != LINEAR
    }


def _value(traced: Trace, layer: str, unit: Unit) -> float:
    return float(traced.maps(layer)[unit.image, unit.map, unit.y, unit.x])


def table(layer: str, result: Mapping[str, float]) -> Table:
    """Return the medians of a layer, with a row for each rule."""
    columns = (
        "deconvnet.ssim", "deconvnet.rank", "control.ssim", "control.rank",
        "other.ssim", "other.rank", "half", "smooth", "flat", "left", "lower",
    )  # fmt: skip
    cells = f"; left after random cells: {result['random.left']:.2f}, contrast: {result['contrast.left']:.2f}"
    removed = ", ".join(
        f"{name.removeprefix('removed.')} {share:.0%}"
        for name, share in result.items()
        if name.startswith("removed.")
    )
    title = f"{layer}, {result['units']} units{cells}\nremoved by rectification: {removed}"
    rows = Table("rule", *columns, title=title)
    for rule in RULES:
        rows.add_row(rule, *(f"{result.get(f'{rule}.{column}', 0):.2f}" for column in columns))
    return rows


if __name__ == "__main__":
    main()
