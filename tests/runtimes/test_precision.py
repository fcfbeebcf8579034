"""Precisions: bfloat16 in torch, TF32 on GPUs, and clear refusals elsewhere."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zfscope.choices import PrecisionName
from zfscope.errors import RuntimeUnavailable
from zfscope.networks.gpu import gpu_precision, temporary_gpu_precision
from zfscope.networks.precision import DATA_TYPES, network_in, precision_of
from zfscope.rounding import rounding
from zfscope.runtimes import create_runtime
from zfscope.runtimes.precision import has_bfloat16, has_tf32
from zfscope.store import Model

MakeImages = Callable[..., NDArray[np.float32]]
# bfloat16 has 8 bits of precision: a rounding error of 2**-9 for each value.
ROUNDING = 2.0**-9


def test_every_precision_has_a_data_type() -> None:
    assert set(DATA_TYPES) == set(PrecisionName)


@pytest.mark.usefixtures("fast_bfloat16")
def test_scores_in_bfloat16_differ_by_rounding_alone(model: Model, make_images: MakeImages) -> None:
    images = make_images(model.network.spec, 4)
    runtime = create_runtime("torch", model, precision="bfloat16")
    scores, expected = runtime.forward(images), create_runtime("torch", model).forward(images)
    assert (scores.dtype, runtime.title, runtime.precision) == (np.float32, "torch", "bfloat16")
    difference = np.abs(scores - expected).max()
    assert 0 < difference < 20 * ROUNDING * np.abs(expected).max()


@pytest.mark.usefixtures("fast_bfloat16")
def test_outputs_and_maxima_in_bfloat16_are_float32(model: Model, make_images: MakeImages) -> None:
    images = make_images(model.network.spec, 2)
    runtime = create_runtime("torch", model, precision="bfloat16")
    outputs = runtime.outputs(images, ["conv1"])["conv1"]
    assert outputs.dtype == np.float32
    assert np.array_equal(outputs, torch.from_numpy(outputs).bfloat16().float().numpy())
    maxima = runtime.map_maxima(images, ["conv1"])["conv1"]
    assert np.array_equal(maxima.values, outputs.max((2, 3)))


@pytest.mark.usefixtures("fast_bfloat16")
def test_the_model_keeps_its_weights(model: Model) -> None:
    create_runtime("torch", model, precision="bfloat16")
    assert {parameter.dtype for parameter in model.network.parameters()} == {torch.float32}
    assert network_in(model.network, "float32") is model.network


@pytest.mark.parametrize(
    ("kind", "precision"), [("onnx", "bfloat16"), ("torchserve", "bfloat16"), ("torchserve", "tf32")]
)
def test_other_runtimes_refuse_a_precision_by_name(
    kind: str, precision: str, model: Model, tmp_path: Path
) -> None:
    message = f"runtime '{kind}' does not compute in {precision}"
    with pytest.raises(RuntimeUnavailable, match=message) as caught:
        create_runtime(kind, model, cache=tmp_path, device="cuda", precision=precision)
    assert caught.value.field == "precision"


@pytest.mark.usefixtures("slow_bfloat16")
def test_a_processor_without_a_fast_path_is_named(model: Model) -> None:
    with pytest.raises(RuntimeUnavailable, match="needs AMX or AVX512-BF16; this processor has ") as caught:
        create_runtime("torch", model, precision="bfloat16")
    assert caught.value.field == "precision"


def test_an_unknown_precision_is_refused(model: Model) -> None:
    message = "unknown precision 'float8'; available: float32, tf32, bfloat16"
    with pytest.raises(RuntimeUnavailable, match=message):
        create_runtime("torch", model, precision="float8")


def test_the_processor_is_asked() -> None:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if "flags" not in flags:
        pytest.skip("the processor's features are not listed here")
    assert has_bfloat16(torch.device("cpu")) is ("amx_tile" in flags or "avx512_bf16" in flags)


def test_a_network_in_float64_counts_as_float32_and_is_not_rounded(model: Model) -> None:
    double = copy.deepcopy(model.network).double()
    assert precision_of(double, "cpu") == "float32"
    assert network_in(double, "float32") is network_in(double, "tf32") is double
    assert next(network_in(double, "bfloat16").parameters()).dtype == torch.bfloat16


@pytest.mark.usefixtures("unused_gpu")
@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_tf32_on_the_cpu_is_refused(kind: str, model: Model, tmp_path: Path) -> None:
    message = (
        "precision tf32 is a mode of NVIDIA GPUs, not of the CPU; use device cuda, or precision float32 or "
        "bfloat16"
    )
    with pytest.raises(RuntimeUnavailable, match=message) as caught:
        create_runtime(kind, model, cache=tmp_path, precision="tf32")
    assert caught.value.field == "precision"


@pytest.mark.usefixtures("unused_gpu")
@pytest.mark.parametrize(("available", "found"), [(True, "this one is older"), (False, "torch found none")])
def test_a_gpu_without_tf32_is_refused(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, available: bool, found: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    message = rf"precision tf32 needs a GPU of compute capability 8.0 or newer \(Ampere\); {found}"
    with pytest.raises(RuntimeUnavailable, match=message):
        create_runtime("onnx", model, cache=tmp_path, device="cuda", precision="tf32")
    create_runtime("torchserve", model, device="cuda")  # nothing was selected before: float32 is still free


@pytest.mark.parametrize(("capability", "has"), [((7, 5), False), ((8, 0), True), ((12, 1), True)])
def test_the_gpu_is_asked(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], has: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert has_tf32(torch.device("cuda")) is has
    assert not has_tf32(torch.device("cpu"))


@pytest.mark.usefixtures("fake_gpu")
@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_a_runtime_in_tf32_states_it_and_selects_it_for_the_process(
    kind: str, model: Model, make_images: MakeImages, tmp_path: Path
) -> None:
    runtime = create_runtime(kind, model, cache=tmp_path, device="cuda", precision="tf32")
    assert (runtime.title, runtime.precision) == (f"{kind} on cuda", "tf32")
    assert gpu_precision() == "tf32"
    assert runtime.forward(make_images(model.spec)).dtype == np.float32
    assert model.network_in("tf32") is model.network
    for other in ("onnx", "torch", "torchserve"):
        with pytest.raises(RuntimeUnavailable, match="precision float32 is not available in this process"):
            create_runtime(other, model, cache=tmp_path, device="cuda")
    assert create_runtime("torch", model).precision == "float32"  # on the CPU


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_scores_in_tf32_differ_from_float32_by_rounding_alone(
    kind: str, model: Model, make_images: MakeImages, tmp_path: Path
) -> None:
    images = make_images(model.spec, 8)
    expected = create_runtime("torch", model).forward(images)
    with temporary_gpu_precision("tf32"):
        runtime = create_runtime(kind, model, cache=tmp_path, device="cuda", precision="tf32")
        scores = runtime.forward(images)
    assert runtime.precision == "tf32"
    difference = np.abs(scores - expected).max()
    assert rounding(np.abs(expected).max()) < difference < rounding(np.abs(expected).max(), "tf32")
