"""How good is a network to look into? Measures of trained networks, to compare models by.

    python -m benchmarks.quality photos --models zfnet-imagenette,alexnet-imagenette:1 --validation photos/val
    python -m benchmarks.quality photos --store model_store --store models --models alexnet-imagenet \\
        --probe 101_ObjectCategories
    python -m benchmarks.quality photos --validation photos/val --boxes boxes.json --points points.json

Layers 1, 2 and so on are a network's convolutions and fully connected layers without the class scores; in a
network with branches, the first convolution and the layers that join branches. Each measure has one table:

- control: similarity of projections and their controls through randomised weights, as `analysis.control`
  defines both: Spearman's rank correlation and SSIM, means over the strongest unit of each of the nine
  strongest maps of every photo, within the receptive field. Lower: the picture shows more of what was learnt
- lattice: share of a projection's energy at the frequencies of the strides up to the layer, and its excess
  over adjacent frequencies, as `zfscope compare` measures grids; means over up to 64 maps, each projected as
  a whole from the photo that activates it most. Layer 2 and the deepest layer of --layers
- dead (with --validation): share of a layer's maps without an activation above 0 in any photo
- occlusion (with --boxes): share of photos on which the occlusion map of the object's class is lowest inside
  the object's box; chance: share of the network's input that the box covers. A class that no window lowers
  counts as outside. Windows are 1/7 of the input's side, 16 pixels apart
- correspondence (with --points): share of features whose change differs in sign between two photos when the
  same part is covered (Table 1 of the paper): mean over all pairs of photos, and its standard error as if
  pairs were independent; random: boxes of the same size at random positions. A part is a square around its
  point, with half of the mean distance between the photo's points as its side
- probe (with --probe): accuracy of a linear classifier of other classes, by layer, and its standard deviation
  over five splits, as `zfscope probe` measures both: each split trains on 15 photos of each class and tests
  with 10 others. Classes with less than 25 photos are left out

boxes.json maps names of photos to {"class": "n01440764", "box": [x0, y0, x1, y1]}, points.json to points by
part, {"left eye": [x, y], "nose": [x, y]}, both in pixels of the photo. Names are relative to the photos or
to those of --validation. A measure that a model cannot take is left out.

The last line is a JSON object for programs.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.clock import machine
from benchmarks.quality_features import dead_maps, probe
from benchmarks.quality_objects import correspondence, occlusion, read_boxes, read_points
from benchmarks.quality_projections import control_similarity, lattice_energy, second_layer
from benchmarks.sample_photos import sample_photos
from zfscope import LocalClient
from zfscope.datasets import open_data
from zfscope.errors import NotFound
from zfscope.networks.stages import deep_stages
from zfscope.store import Model

# Values of a table by row and column.
Rows = Mapping[str, Mapping[str, float]]
# The class of Caltech-101 without an object.
CLUTTER = "BACKGROUND_Google"
MEASURES = ("control", "lattice", "dead", "occlusion", "correspondence", "probe")


def main() -> None:
    """Measure all models, and print a table for each measure."""
    options = parse()
    console = Console(width=140)
    console.print(machine())
    clients = [LocalClient(store, trace_cache_bytes=0) for store in options.store or [None]]
    results = {}
    for reference in options.models.split(","):
        client, model = load(clients, reference)
        rows: dict[str, Rows] = {}
        for name, run in measures(client, model, options).items():
            started = time.perf_counter()
            rows[name] = rounded(run())
            title = f"{model.name} version {model.version}, {name}, {time.perf_counter() - started:.0f} s"
            console.print(table(title, rows[name]))
        results[f"{model.name}:{model.version}"] = rows
    print(json.dumps({"benchmark": "quality", "models": results}))


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="photos to project: directory, tar or list of photos")
    parser.add_argument(
        "--models",
        default="",
        help="models, NAME or NAME:VERSION, separated by commas (default: the store's)",
    )
    parser.add_argument(
        "--store", type=Path, action="append", help="model store; repeatable (default: zfscope's)"
    )
    parser.add_argument(
        "--layers", default="", help="layers with a control (default: the last three with maps)"
    )
    parser.add_argument("--validation", type=Path, help="photos to find dead maps with")
    parser.add_argument(
        "--validation-photos", type=int, default=1000, help="number of them, evenly spaced (default: 1000)"
    )
    parser.add_argument("--boxes", type=Path, help="JSON file with the class and the box of objects")
    parser.add_argument("--points", type=Path, help="JSON file with points of parts, the same in all photos")
    parser.add_argument("--probe", type=Path, help="data set with a folder per class, for linear classifiers")
    parser.add_argument(
        "--leave-out",
        default=CLUTTER,
        help=f"classes of --probe to leave out, separated by commas (default: {CLUTTER})",
    )
    parser.add_argument(
        "--only", default=",".join(MEASURES), help="measures, separated by commas (default: all)"
    )
    options = parser.parse_args()
    if unknown := {*options.only.split(",")} - {*MEASURES}:
        parser.error(f"--only: unknown measure '{min(unknown)}'; available: {', '.join(MEASURES)}")
    return options


def load(clients: Sequence[LocalClient], reference: str) -> tuple[LocalClient, Model]:
    """Load a model, NAME or NAME:VERSION, from the first store that has it. Raises NotFound if none has."""
    name, _, version = reference.partition(":")
    *others, last = clients
    for client in others:
        try:
            return client, client.load_model(name, int(version) if version else None).model
        except NotFound:
            continue
    return last, last.load_model(name, int(version) if version else None).model


def measures(
    client: LocalClient, model: Model, options: argparse.Namespace
) -> Mapping[str, Callable[[], Rows]]:
    """Return the measures to take of a model, by name."""
    spec, photos = model.spec, open_data(options.data)
    names = options.layers.split(",") if options.layers else deep_stages(spec, has_classes=bool(model.labels))
    layers = [layer.name for layer in spec.layers if layer.name in {spec.layer(name).name for name in names}]
    images = sample_photos(model, options.data, len(photos))
    known: dict[str, Callable[[], Rows]] = {
        "control": lambda: control_similarity(model, images, layers),
        "lattice": lambda: lattice_energy(model, images, [second_layer(model), layers[-1]]),
    }
    annotated = [photos]
    if options.validation:
        validation = open_data(options.validation)
        annotated.append(validation)
        known["dead"] = lambda: dead_maps(model, validation, options.validation_photos)
    if options.boxes and model.labels:
        known["occlusion"] = lambda: occlusion(client, model, annotated, read_boxes(options.boxes))
    if options.points:
        known["correspondence"] = lambda: correspondence(
            client, model, annotated, read_points(options.points)
        )
    if options.probe:
        known["probe"] = lambda: probe(model, open_data(options.probe), options.leave_out.split(","))
    return {name: run for name, run in known.items() if name in options.only.split(",")}


def rounded(rows: Rows) -> Rows:
    """Return the rows with four decimals."""
    return {name: {column: round(value, 4) for column, value in row.items()} for name, row in rows.items()}


def table(title: str, rows: Rows) -> Table:
    """Return a table of a measure."""
    columns = list(next(iter(rows.values()), {}))
    drawn = Table("", *columns, title=title, title_justify="left", min_width=len(title) + 1)
    for name, row in rows.items():
        drawn.add_row(name, *(f"{row[column]:.3f}".removesuffix(".000") for column in columns))
    return drawn


if __name__ == "__main__":
    main()
