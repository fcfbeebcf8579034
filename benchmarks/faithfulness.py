"""A deletion curve of 50 steps, compared with the same number of forward passes.

    python -m benchmarks.faithfulness
    python -m benchmarks.faithfulness --model squeezenet-imagenet --store models --runtime torch

The curve is that of the analyzer `faithfulness`: it makes the images step by step, runs them through the
runtime in batches, and takes the probability of the class. The forward passes are of 50 images that are
already in memory, in batches of the same size. Both run in this process, in turn, several times; the ratio is
that of the medians.

The last line is a JSON object for programs.
"""

import argparse
import json
import statistics

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.clock import machine, timed
from zfscope import LocalClient
from zfscope.analysis.classification import softmax
from zfscope_analyzers.faithfulness.removal import BATCH_SIZE, Endpoints, deletion_curve, step_counts

STEPS = 50
# Largest ratio that the curve may take.
TARGET = 1.3


def main() -> None:
    """Time both, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="", help="name of a model; by default the store's default")
    parser.add_argument("--store", help="model store; by default that of the checkout")
    parser.add_argument("--runtime", default="onnx", help="runtime of the forward passes")
    parser.add_argument("--repeats", type=int, default=7, help="number of repeats")
    options = parser.parse_args()
    console = Console(width=110)
    console.print(machine())
    with LocalClient(options.store, runtime=options.runtime) as client:
        loaded = client.load_model(options.model, None)
        spec, forward = loaded.model.spec, loaded.runtime.forward
        generator = np.random.default_rng(0)
        shape = (spec.input_channels, spec.input_size, spec.input_size)
        clean, removed = generator.normal(size=(2, *shape)).astype(np.float32)
        images = generator.normal(size=(STEPS, *shape)).astype(np.float32)
        pixels = shape[1] * shape[2]
        ends = Endpoints(clean, removed, (1.0, 0.0), step_counts(pixels, STEPS))
        order = generator.permutation(pixels)

        def probability(batch: NDArray[np.float32]) -> NDArray[np.float64]:
            values: NDArray[np.float64] = softmax(forward(batch))[:, 0]
            return values

        def curve() -> object:
            return deletion_curve(ends, order, probability)

        def passes() -> object:
            return [forward(images[start : start + BATCH_SIZE]) for start in range(0, STEPS, BATCH_SIZE)]

        times: dict[str, list[float]] = {"curve": [], "passes": []}
        for repeat in range(options.repeats + 1):
            for name, run in (("curve", curve), ("passes", passes)):
                seconds = timed(run)
                times[name] += [seconds] if repeat else []
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    ratio = medians["curve"] / medians["passes"]
    rows = Table("", "ms", title=f"{loaded.model.name}, {options.runtime}: {STEPS} steps, medians")
    rows.add_row("deletion curve", f"{1e3 * medians['curve']:.0f}")
    rows.add_row(f"{STEPS} forward passes, {BATCH_SIZE} at a time", f"{1e3 * medians['passes']:.0f}")
    console.print(rows)
    console.print(f"ratio {ratio:.2f}; target: at most {TARGET}")
    result = {"model": loaded.model.name, "runtime": options.runtime, "ratio": round(ratio, 3)}
    print(json.dumps({"benchmark": "faithfulness", "target": TARGET, **result}))


if __name__ == "__main__":
    main()
