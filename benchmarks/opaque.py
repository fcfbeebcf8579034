"""Occlusion sensitivity of a vision transformer, compared with bare batched passes of ONNX Runtime.

    python -m benchmarks.opaque
    python -m benchmarks.opaque --rounds 5

The network has the form and size of ViT-S/16 (22 million seeded weights, 224 pixels), exported by torch for
one image and imported as an opaque graph. ZFScope occludes a photo with 625 windows: class scores and the
total of the watched map for each, maps and the figure included. Bare passes run the imported graph for the
class scores of as many images that are in memory, in batches of 1, 2, 4, 8, 16 and 32, of which the fastest
counts. All run in this process, in turn, with all processors; the ratio is that of medians.

Before timing, the values of all windows are compared with bare passes on occluded images.

The last line is a JSON object for programs.
"""

import argparse
import json
import statistics
import tempfile
import warnings
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.clock import machine, timed
from zfscope.analysis.contract import Analysis, Context
from zfscope.images.decode import decode
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.processors import usable_cpus
from zfscope.runtimes import Runtime, create_runtime
from zfscope.runtimes.onnx.session import open_session
from zfscope.store import Model, ModelStore, Provenance
from zfscope.store.importing import ImportedModel, publish, read_opaque
from zfscope_analyzers.occlude import Occlude, OccludeParams

SIZE, PATCH, WIDTH, DEPTH, HEADS, CLASSES = 224, 16, 384, 12, 6, 1000
WINDOW, STRIDE, GREY = 32, 8, 128
BATCHES = (1, 2, 4, 8, 16, 32)
TOLERANCE = 1e-4
PREPROCESSING = Preprocessing(short_side=256, centre=256, crop=SIZE, std=(58.4, 57.1, 57.4))


class Block(nn.Module):
    """Self-attention and a multilayer perceptron, each after a normalisation and added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.project = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens (N, tokens, WIDTH) after the block."""
        batch, count, _ = tokens.shape
        qkv = self.qkv(self.norm1(tokens)).reshape(batch, count, 3, HEADS, WIDTH // HEADS)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.project(mixed.transpose(1, 2).reshape(batch, count, WIDTH))
        result: Tensor = tokens + self.mlp(self.norm2(tokens))
        return result


class VisionTransformer(nn.Module):
    """ViT-S/16 with a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.class_token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.randn(1, (SIZE // PATCH) ** 2 + 1, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return the class scores of images (N, 3, SIZE, SIZE)."""
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), tokens], 1) + self.positions
        scores: Tensor = self.head(self.norm(self.blocks(tokens))[:, 0])
        return scores


def imported_model(folder: Path) -> Model:
    """Export the network, import it into a store in a folder, and return it."""
    torch.manual_seed(0)
    path = folder / "vit.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about constants of the batch
        torch.onnx.export(VisionTransformer().eval(), (torch.zeros(1, 3, SIZE, SIZE),), path, dynamo=False)
    reading = read_opaque(path, name="vit-s")
    imported = ImportedModel(reading.network, PREPROCESSING, "ViT-S/16 with seeded weights")
    publish(folder, "vit-s", imported, provenance=Provenance(source="seeded"))
    return ModelStore(folder).load("vit-s")


@dataclass(frozen=True, eq=False)
class OpaqueComparison:
    """A photo and a model, its runtime, and a bare session of its graph."""

    context: Context
    session: Any
    images: NDArray[np.float32]

    @classmethod
    def of(cls, model: Model, runtime: Runtime) -> "OpaqueComparison":
        """Prepare the photo, and the occluded images for bare passes."""
        photo = decode(files("sklearn.datasets.images").joinpath("china.jpg").read_bytes())
        prepared = prepare(photo, model.preprocessing)
        assert model.graph is not None
        session = open_session(model.graph, threads=usable_cpus(), device="cpu", keep_memory=True)
        grey = (GREY - np.array(PREPROCESSING.mean)) / np.array(PREPROCESSING.std)
        starts = range(0, SIZE - WINDOW + 1, STRIDE)
        images = np.repeat(prepared.pixels[:1], len(starts) ** 2, 0)
        for image, (y, x) in zip(images, ((y, x) for y in starts for x in starts), strict=True):
            image[:, y : y + WINDOW, x : x + WINDOW] = grey[:, None, None]
        return cls(Context(model, runtime, (prepared,)), session, images)

    def occlude(self) -> Analysis:
        """Return the analysis of the photo."""
        return Occlude().analyze(self.context, OccludeParams(window=WINDOW, stride=STRIDE, value="logit"))

    def bare(self, batch: int) -> NDArray[np.float32]:
        """Return the class scores of the occluded images. batch: images per pass."""
        name = self.session.get_inputs()[0].name
        parts = [self.images[at : at + batch] for at in range(0, len(self.images), batch)]
        return np.concatenate([self.session.run(None, {name: part})[0] for part in parts])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the medians count")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = imported_model(Path(folder))
        comparison = OpaqueComparison.of(model, create_runtime("onnx", model))
    ours, *bare = measure(comparison, options.rounds)
    best = min(range(len(BATCHES)), key=lambda index: bare[index])
    report(comparison, ours, dict(zip(BATCHES, bare, strict=True)), BATCHES[best])


def measure(comparison: OpaqueComparison, rounds: int) -> list[float]:
    """Check the values, and return the median seconds of the analysis and of each batch size."""
    check(comparison)
    runs = [comparison.occlude, *(partial(comparison.bare, batch) for batch in BATCHES)]
    seconds = [[timed(run) for run in runs] for _ in range(rounds)]
    return [statistics.median(each) for each in zip(*seconds, strict=True)]


def check(comparison: OpaqueComparison) -> None:
    """Exit unless the values of the windows equal those of bare passes."""
    context = comparison.context
    target = int(context.runtime.forward(context.images[0].pixels[:1])[0].argmax())
    scores = comparison.bare(BATCHES[0])
    values = replace(comparison, context=replace(context, tensors=True)).occlude().tensors["values"][0]
    error = float(np.abs(values - scores[:, target]).max() / np.abs(scores).max())
    if error > TOLERANCE:
        raise SystemExit(f"class scores differ from those of bare passes by {error:.1e} of the largest")


def report(comparison: OpaqueComparison, ours: float, bare: dict[int, float], best: int) -> None:
    """Print a table, and the JSON object."""
    count = len(comparison.images)
    table = Table(title=f"{count} windows of ViT-S/16; {machine()}")
    for column in ("", "seconds", "windows per second"):
        table.add_column(column, justify="right" if column else "left")
    rows = {"ZFScope occlude": ours, **{f"bare passes of {size}": each for size, each in bare.items()}}
    for name, seconds in rows.items():
        table.add_row(name, f"{seconds:.2f}", f"{count / seconds:.1f}")
    Console(width=100).print(table)
    result = {
        "windows": count,
        "ours_s": round(ours, 3),
        "bare_s": {str(size): round(seconds, 3) for size, seconds in bare.items()},
        "best_batch": best,
        "rate_of_bare": round(bare[best] / ours, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
