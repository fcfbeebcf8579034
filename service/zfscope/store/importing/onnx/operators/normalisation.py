"""Normalisation."""

from collections.abc import Sequence

import numpy as np

from zfscope.networks.layers import (
    LocalResponseNorm,
    Scale,
)
from zfscope.store.importing.onnx.builder import Builder
from zfscope.store.importing.onnx.operators.call import Call, Value, as_float, operator


@operator("BatchNormalization")
def _batch_norm(builder: Builder, call: Call) -> Sequence[Value]:
    scale, bias, mean, variance = (as_float(call.required(index)).astype(np.float64) for index in range(1, 5))
    weight = scale / np.sqrt(variance + call.attributes.get("epsilon", 1e-5))
    weights = {"weight": as_float(weight), "bias": as_float(bias - mean * weight)}
    return [builder.add(Scale, [builder.maps(call.view()).layer], weights=weights)]


@operator("LRN")
def _lrn(builder: Builder, call: Call) -> Sequence[Value]:
    """Read local response normalisation; alpha is as here: ONNX too divides it by the size."""
    stated = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0, **call.attributes}
    constants = {
        "size": stated["size"],
        "alpha": stated["alpha"],
        "beta": stated["beta"],
        "k": stated["bias"],
    }
    return [builder.add(LocalResponseNorm, [builder.maps(call.view()).layer], **constants)]
