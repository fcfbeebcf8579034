"""Helpers for tests of the analyzer `occlude`."""

import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params
from zfscope.engine import trace
from zfscope.images.normalise import normalise

OCCLUDE = load_analyzers().analyzer("occlude")
SIDE = 32


def box(x0: float, y0: float, x1: float, y1: float) -> dict[str, float]:
    return {"x0": x0, "y0": y0, "x1": x1, "y1": y1}


def analyze(context: Context, **parameters: Any) -> Analysis:
    return OCCLUDE.analyze(context, read_params(OCCLUDE, {"window": 8, "stride": 4, **parameters}))


def by_brute_force(
    context: Context, windows: NDArray[np.int64], colour: NDArray[np.uint8], layer: str = "relu5"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Occlude each window in the crop and run all; return class scores and totals of the layer's maps."""
    network, steps = context.model.network, context.model.preprocessing
    images = []
    for y, x, rows, columns in windows:
        view = context.images[0].views[0].copy()
        view[y : y + rows, x : x + columns] = colour[y : y + rows, x : x + columns]
        images.append(normalise(view, steps))
    result = trace(network, torch.from_numpy(np.stack(images)))
    return result.outputs["fc8"].numpy(), result.outputs[layer].flatten(2).sum(2).numpy()


def grey(context: Context) -> NDArray[np.uint8]:
    return np.full_like(context.images[0].views[0], 128)


def trace_of(context: Context) -> Any:
    return trace(context.model.network, torch.from_numpy(context.images[0].pixels))


def mask_file(mask: NDArray[np.bool_]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return file.getvalue()
