"""Does the paper hold? Its findings on photos, with the models of a store, and a control beside each number.

    python -m benchmarks.truth photos/val
    python -m benchmarks.truth photos/val --models zfnet-imagenette,alexnet-imagenette --boxes boxes.json
    python -m benchmarks.truth photos/val --only switches,deletion --photos 20

- switches (Sec 2.1): rank correlation of a projection's energy with the photo's contrast in the unit's field.
  Control: switches at random positions of their windows
- rectification (Sec 2.1): share of the signal's energy that the ReLUs remove on the way down. Control:
  randomised weights
- settling (Fig 4): correlation of a final projection with that of the first stored epoch. Control: with that
  of randomised weights
- invariance (Fig 5): relative distance of features after a small transformation. Control: the distance
  between two photos
- filters (Fig 6): middle frequencies of the first filters, silent maps, grids in layer 2. Control: randomised
  weights
- occlusion (Fig 7, with --boxes): share of photos whose class is lowest when the object is occluded. Control:
  share of the network's input that the object's box covers
- deletion: area under the curve of deletion, by method; lower is better. Controls: random orders of the
  pixels, and the method with randomised weights
- probe (Table 7): accuracy of a linear classifier of the classes by a layer's features. Control: chance

Projections are those of the strongest units of the four strongest maps of each photo, in the last four layers
with maps. --boxes is the file that `benchmarks.quality` reads. Photos are evenly spaced in the data; the
probe reads all of them. A finding that a model cannot show is left out: settling without checkpoints, a probe
without two classes of 25 photos.

The last line is a JSON object for programs.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import truth_findings as findings
from benchmarks.clock import machine
from benchmarks.faithfulness_table import METHODS
from benchmarks.quality_objects import read_boxes
from benchmarks.sample_photos import evenly_spaced, sample_photos
from benchmarks.truth_findings import Finding, Findings
from zfscope import LocalClient
from zfscope.datasets import open_data, read_photo
from zfscope.images.decode import decode_photo
from zfscope.store import Model, open_store

NAMES = (
    "switches",
    "rectification",
    "settling",
    "invariance",
    "filters",
    "occlusion",
    "deletion",
    "probe",
)


def main() -> None:
    """Measure all models, and print one table."""
    options = parse()
    console = Console(width=140)
    console.print(machine())
    rows: dict[str, dict[str, Findings]] = {}
    with LocalClient(options.store, trace_cache_bytes=0) as client:
        for name in options.models.split(","):
            model = client.load_model(name, None).model
            rows[f"{model.name}:{model.version}"] = dict(measured(client, model, options, console))
    console.print(table(rows))
    models = {
        model: {name: [each._asdict() for each in found] for name, found in of_model.items()}
        for model, of_model in rows.items()
    }
    print(json.dumps({"benchmark": "truth", "models": models}))


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="photos: directory, tar or list of photos")
    parser.add_argument("--models", default="", help="names, separated by commas (default: the store's)")
    parser.add_argument("--store", type=Path, help="model store (default: that of zfscope)")
    parser.add_argument("--photos", type=int, default=20, help="number of photos (default: 20)")
    parser.add_argument("--boxes", type=Path, help="JSON file with the class and the box of objects")
    parser.add_argument(
        "--methods",
        default=",".join(METHODS),
        help="analyzers, and rules of project, whose deletion is measured (default: occlude and all rules)",
    )
    parser.add_argument(
        "--only", default=",".join(NAMES), help="findings, separated by commas (default: all)"
    )
    options = parser.parse_args()
    if unknown := {*options.only.split(",")} - {*NAMES}:
        parser.error(f"--only: unknown finding '{min(unknown)}'; available: {', '.join(NAMES)}")
    return options


def measured(
    client: LocalClient, model: Model, options: argparse.Namespace, console: Console
) -> Iterator[tuple[str, Findings]]:
    """Yield the findings of a model by name, without those that it cannot show."""
    for name, measure in measures(client, model, options).items():
        if name in options.only.split(","):
            started = time.perf_counter()
            if found := measure():
                console.print(f"{model.name}, {name}: {time.perf_counter() - started:.0f} s")
                yield name, found


def measures(
    client: LocalClient, model: Model, options: argparse.Namespace
) -> Mapping[str, Callable[[], Findings]]:
    """Return the measurements of a model by name."""
    data, images = open_data(options.data), sample_photos(model, options.data, options.photos)
    photos = [read_photo(data.photo(number)) for number in evenly_spaced(len(data), options.photos)]
    boxes = read_boxes(options.boxes) if options.boxes else {}
    return {
        "switches": lambda: findings.switches(model, images),
        "rectification": lambda: findings.rectification(model, images),
        "settling": lambda: findings.settling(open_store(options.store), model, images),
        "invariance": lambda: findings.invariance(client, model, photos, images),
        "filters": lambda: findings.filters(model, [decode_photo(each).pixels for each in photos]),
        "occlusion": lambda: findings.occluded_objects(client, model, data, boxes),
        "deletion": lambda: findings.deletion(client, model, photos, options.methods.split(",")),
        "probe": lambda: findings.probed(model, data),
    }


def table(rows: Mapping[str, Mapping[str, Findings]]) -> Table:
    """Return one table of all models."""
    result = Table("model", "finding", "of", "value", "control", "count")
    for model, of_model in rows.items():
        for name, found in of_model.items():
            for each in found:
                result.add_row(model, name, *_cells(each))
    return result


def _cells(finding: Finding) -> tuple[str, ...]:
    return finding.of, f"{finding.value:.3f}", f"{finding.control:.3f}", f"{finding.count:,}"


if __name__ == "__main__":
    main()
