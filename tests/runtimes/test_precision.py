"""Precisions: bfloat16 in torch, and clear refusals elsewhere."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zfscope.choices import PrecisionName
from zfscope.errors import RuntimeUnavailable
from zfscope.runtimes import RUNTIMES, create_runtime
from zfscope.runtimes.precision import DATA_TYPES, has_bfloat16, network_in
from zfscope.store import Model

MakeImages = Callable[..., NDArray[np.float32]]
# bfloat16 has 8 bits of precision: a rounding error of 2**-9 for each value.
ROUNDING = 2.0**-9


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that multiplies bfloat16 in hardware; others compute the same, slowly."""
    monkeypatch.setattr("zfscope.runtimes.precision.has_bfloat16", lambda device: True)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without a fast path for bfloat16."""
    monkeypatch.setattr("zfscope.runtimes.precision.has_bfloat16", lambda device: False)


def test_every_precision_has_a_data_type() -> None:
    assert set(DATA_TYPES) == set(PrecisionName)


@pytest.mark.usefixtures("fast")
def test_scores_in_bfloat16_differ_by_rounding_alone(model: Model, make_images: MakeImages) -> None:
    images = make_images(model.network.spec, 4)
    runtime = create_runtime("torch", model, precision="bfloat16")
    scores, expected = runtime.forward(images), create_runtime("torch", model).forward(images)
    assert (scores.dtype, runtime.title) == (np.float32, "torch in bfloat16")
    difference = np.abs(scores - expected).max()
    assert 0 < difference < 20 * ROUNDING * np.abs(expected).max()


@pytest.mark.usefixtures("fast")
def test_outputs_and_maxima_in_bfloat16_are_float32(model: Model, make_images: MakeImages) -> None:
    images = make_images(model.network.spec, 2)
    runtime = create_runtime("torch", model, precision="bfloat16")
    outputs = runtime.outputs(images, ["conv1"])["conv1"]
    assert outputs.dtype == np.float32
    assert np.array_equal(outputs, torch.from_numpy(outputs).bfloat16().float().numpy())
    maxima = runtime.map_maxima(images, ["conv1"])["conv1"]
    assert np.array_equal(maxima.values, outputs.max((2, 3)))


@pytest.mark.usefixtures("fast")
def test_the_model_keeps_its_weights(model: Model) -> None:
    create_runtime("torch", model, precision="bfloat16")
    assert {parameter.dtype for parameter in model.network.parameters()} == {torch.float32}
    assert network_in(model.network, "float32") is model.network


@pytest.mark.parametrize("kind", [name for name in RUNTIMES if name != "torch"])
def test_other_runtimes_refuse_bfloat16_by_name(kind: str, model: Model, tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match=f"runtime '{kind}' does not compute in bfloat16") as caught:
        create_runtime(kind, model, cache=tmp_path, precision="bfloat16")
    assert caught.value.field == "precision"


@pytest.mark.usefixtures("slow")
def test_a_processor_without_a_fast_path_is_named(model: Model) -> None:
    with pytest.raises(RuntimeUnavailable, match="needs AMX or AVX512-BF16; this processor has ") as caught:
        create_runtime("torch", model, precision="bfloat16")
    assert caught.value.field == "precision"


def test_an_unknown_precision_is_refused(model: Model) -> None:
    message = "unknown precision 'float8'; available: float32, bfloat16"
    with pytest.raises(RuntimeUnavailable, match=message):
        create_runtime("torch", model, precision="float8")


def test_the_processor_is_asked() -> None:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if "flags" not in flags:
        pytest.skip("the processor's features are not listed here")
    assert has_bfloat16(torch.device("cpu")) is ("amx_tile" in flags or "avx512_bf16" in flags)
