"""How faithful are the explanations of a network? Areas under deletion and insertion curves, by method.

    python -m benchmarks.faithfulness_table photos/val --models squeezenet-imagenet,zfnet-imagenette
    python -m benchmarks.faithfulness_table photos/val --models zfnet-imagenette --store models \\
        --methods occlude,gradient,gradcam --photos 50 --records areas.jsonl

The analyzer `faithfulness` measures the most likely class of evenly spaced photos: 50 steps, five random
orders per photo, and the control with randomised weights. A method is an installed analyzer, or a rule of
`project` (gradient, guided, deconvnet), which projects the class score. --removal is what removed pixels
become.

For each method, the table shows the mean area and its standard deviation over the photos, the mean difference
from random orders and from the control of the same photo with its standard error, and that difference in
standard errors. A negative difference of deletion and a positive one of insertion mean that the method is
better. A photo on which a method fails, such as an attribution that is the same everywhere, is left out of
its rows; the number of photos is shown.

With --records, the areas of each photo are appended to a file of JSON lines, and those in it are not measured
again. The last line is a JSON object for programs.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.clock import machine
from benchmarks.sample_photos import evenly_spaced
from zfscope import LocalClient
from zfscope.datasets import open_data, read_photo
from zfscope.errors import InputError

# Rules of the analyzer project that explain a class.
RULES = ("gradient", "guided", "deconvnet")
METHODS = ("occlude", *RULES)
KINDS = ("deletion", "insertion")

# Areas by name for one photo, or the reason why there are none.
Record = Mapping[str, Any]


class Cell(NamedTuple):
    """Areas of a method over photos, and differences from other orders of the same photos."""

    mean: float
    deviation: float
    photos: int
    random: tuple[float, float] | None
    control: tuple[float, float] | None


def main() -> None:
    """Measure all models and methods, and print a table for each model and kind of curve."""
    options = parse()
    console = Console(width=140)
    console.print(machine())
    if options.threads:
        torch.set_num_threads(options.threads)
    known = list(read_records(options.records)) if options.records else []
    results: dict[str, Any] = {}
    with LocalClient(options.store, runtime=options.runtime) as client:
        for model in options.models.split(","):
            records = [*known, *measure(client, model, options, known)]
            methods = options.methods.split(",")
            cells = {kind: cells_of(records, model, methods, kind) for kind in KINDS}
            for kind in KINDS:
                console.print(table(f"{model}, area of {kind}", cells[kind]))
            results[model] = {
                kind: {name: cell._asdict() for name, cell in cells[kind].items()} for kind in KINDS
            }
    print(json.dumps({"benchmark": "faithfulness_table", "models": results}))


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="photos: directory, tar or list of photos")
    parser.add_argument("--models", default="squeezenet-imagenet,zfnet-imagenette", help="names of models")
    parser.add_argument("--methods", default=",".join(METHODS), help="analyzers, and rules of project")
    parser.add_argument("--photos", type=int, default=50, help="number of photos")
    parser.add_argument("--store", help="model store; by default that of the checkout")
    parser.add_argument("--runtime", default="onnx", help="runtime of the forward passes")
    parser.add_argument("--removal", default="blur", choices=("grey", "mean", "blur"), help="removed pixels")
    parser.add_argument("--records", type=Path, help="file of JSON lines with the areas of each photo")
    parser.add_argument("--threads", type=int, help="threads of torch; by default one per processor")
    return parser.parse_args()


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file, if it exists."""
    if path.exists():
        yield from map(json.loads, path.read_text().splitlines())


def measure(
    client: LocalClient, model: str, options: argparse.Namespace, known: Sequence[Record]
) -> Iterator[Record]:
    """Measure each photo by each method, unless it is known; yield the new records."""
    done = {(row["model"], row["method"], row["photo"]) for row in known}
    data = open_data(options.data)
    for number in track(evenly_spaced(len(data), options.photos), description=model):
        photo = read_photo(data.photo(number))
        for index, method in enumerate(options.methods.split(",")):
            if (model, method, number) in done:
                continue
            random = 5 if index == 0 else 0  # random orders do not depend on the method
            parameters = parameters_of(method) | {"removal": options.removal, "random": random}
            record = {"model": model, "method": method, "photo": number} | areas(
                client, photo, model, parameters
            )
            if options.records:
                with options.records.open("a") as file:
                    file.write(json.dumps(record) + "\n")
            yield record


def parameters_of(method: str) -> dict[str, Any]:
    """Return the parameters of the analyzer for a method."""
    if method in RULES:
        return {"method": "project", "method_parameters": {"rule": method}}
    return {"method": method}


def areas(client: LocalClient, photo: bytes, model: str, parameters: Mapping[str, Any]) -> Record:
    """Return the areas of a photo, or the reason why the method gives none."""
    try:
        result = client.analyze("faithfulness", [photo], parameters, model=model, pictures=False)
    except InputError as error:
        return {"reason": error.message}
    return dict(result.analysis.numbers)


def cells_of(records: Sequence[Record], model: str, methods: Sequence[str], kind: str) -> dict[str, Cell]:
    """Return the areas of random orders, and of each method and its differences."""
    rows = [row for row in records if row["model"] == model and "reason" not in row]
    random = {row["photo"]: row["random_area"] for row in rows if "random_area" in row}
    cells = {"random": Cell(*spread(list(random.values())), len(random), None, None)}
    for method in methods:
        own = {row["photo"]: row for row in rows if row["method"] == method}
        values = [row[f"{kind}_area"] for row in own.values()]
        if not values:
            continue
        against = [row[f"{kind}_area"] - random[photo] for photo, row in own.items() if photo in random]
        control = [row[f"{kind}_area"] - row[f"control_{kind}_area"] for row in own.values()]
        cells[method] = Cell(*spread(values), len(values), difference(against), difference(control))
    return cells


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation."""
    return float(np.mean(values)), float(np.std(values, ddof=1))


def difference(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of paired differences and its standard error."""
    mean, deviation = spread(values)
    return mean, deviation / len(values) ** 0.5


def table(title: str, cells: Mapping[str, Cell]) -> Table:
    """Return a table with a row for each method."""
    rows = Table("method", "photos", "area", "less random", "less control", title=title)
    for name, cell in cells.items():
        differences = [text(each) for each in (cell.random, cell.control)]
        rows.add_row(name, str(cell.photos), f"{cell.mean:.3f} \u00b1 {cell.deviation:.3f}", *differences)
    return rows


def text(difference: tuple[float, float] | None) -> str:
    """Return a difference with its standard error, and in standard errors."""
    if difference is None:
        return ""
    mean, error = difference
    return f"{mean:+.3f} \u00b1 {error:.3f} ({mean / error:+.1f})" if error else f"{mean:+.3f}"


if __name__ == "__main__":
    main()
