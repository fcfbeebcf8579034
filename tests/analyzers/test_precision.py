"""Analyses in bfloat16: within rounding of float32 and of brute force, and stated in the result."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.analyzers.conftest import blobs
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params, run
from zfscope.engine import trace
from zfscope.engine.seeds import Unit
from zfscope.images.normalise import normalise
from zfscope.images.preprocess import prepare
from zfscope.rounding import rounding
from zfscope.runtimes import create_runtime
from zfscope.scan import build_index, indexes_folder, open_data, plan_scan

ANALYZERS = load_analyzers()
# Largest error, relative to the largest value, after the few layers of the model.
TOLERANCE = 16 * 2.0**-9


@pytest.fixture
def fast(plain_context: Context, monkeypatch: pytest.MonkeyPatch) -> Context:
    """The context with a runtime in bfloat16; processors without a fast path compute the same, slowly."""
    monkeypatch.setattr("zfscope.runtimes.precision.has_bfloat16", lambda device: True)
    runtime = create_runtime("torch", plain_context.model, precision="bfloat16")
    return replace(plain_context, runtime=runtime)


def analyze(name: str, context: Context, **parameters: Any) -> Analysis:
    analyzer = ANALYZERS.analyzer(name)
    return run(analyzer, context, read_params(analyzer, parameters))


def occlude(context: Context, **parameters: Any) -> Analysis:
    return analyze("occlude", context, **{"window": 8, "stride": 4, "value": "logit", **parameters})


def full_passes(context: Context, windows: "np.ndarray", dtype: torch.dtype) -> tuple["np.ndarray", ...]:
    """Occlude each window in the photo; return the scores and the totals of relu5 of whole passes."""
    images = []
    for y, x, rows, columns in windows:
        view = context.images[0].views[0].copy()
        view[y : y + rows, x : x + columns] = 128
        images.append(normalise(view, context.model.preprocessing))
    network = copy.deepcopy(context.model.network).to(dtype)
    outputs = trace(network, torch.from_numpy(np.stack(images)).to(dtype)).outputs
    return outputs["fc8"].float().numpy(), outputs["relu5"].float().flatten(2).sum(2).numpy()


@pytest.mark.parametrize("method", ["incremental", "full"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_occlusion_is_within_rounding_of_whole_passes(fast: Context, method: str, dtype: torch.dtype) -> None:
    result = occlude(fast, method=method, layer="relu5", map=2, classes=["ant", "cat"])
    assert result.precision == "bfloat16"
    scores, totals = full_passes(fast, result.tensors["windows"], dtype)
    values = result.tensors["values"]
    np.testing.assert_allclose(values, scores[:, [0, 2]].T, rtol=0, atol=TOLERANCE * np.abs(scores).max())
    atol = TOLERANCE * np.abs(totals[:, 2]).max()
    np.testing.assert_allclose(result.tensors["totals"], totals[:, 2], rtol=0, atol=atol)


def test_occlusion_in_float32_says_so_and_differs(fast: Context, plain_context: Context) -> None:
    options = {"method": "incremental", "layer": "relu5", "map": 2}
    exact, rough = occlude(plain_context, **options), occlude(fast, **options)
    assert exact.precision == "float32"
    assert not np.array_equal(exact.tensors["values"], rough.tensors["values"])
    columns = ("clean", "lowest")
    for one, other in zip(*(each.tables["classes"].records() for each in (exact, rough)), strict=True):
        assert [one[name] for name in columns] == pytest.approx([other[name] for name in columns], abs=0.1)
        assert one["clean"] == other["clean"]  # the clean pass is the trace, in float32


def test_totals_are_not_rounded_to_bfloat16(fast: Context) -> None:
    totals = torch.from_numpy(occlude(fast, method="incremental", layer="relu5", map=2).tensors["totals"])
    assert not torch.equal(totals, totals.bfloat16().float())


def test_windows_that_change_nothing_lower_nothing(fast: Context) -> None:
    """Recomputing what did not change differs from the trace by rounding, which is no effect."""
    photo = np.full((48, 60, 3), 128, np.uint8)
    grey = replace(fast, images=(prepare(photo, fast.model.preprocessing),))
    result = occlude(grey, method="incremental")
    assert [row["x0"] for row in result.tables["classes"].records()] == [None]
    scores = trace(fast.model.network, torch.from_numpy(grey.images[0].pixels)).outputs["fc8"]
    noise = np.abs(result.tensors["values"] - result.tables["classes"].records()[0]["clean"]).max()
    assert 0 < noise <= rounding(float(scores.abs().max()), "bfloat16")


@pytest.mark.parametrize("layer", ["conv1", "conv5", "relu5", "fc8"])
@pytest.mark.parametrize("rule", ["deconvnet", "guided", "gradient"])
def test_projections_are_within_rounding_of_float32(
    fast: Context, plain_context: Context, layer: str, rule: str
) -> None:
    options = {"layer": layer, "top": 4, "rule": rule, "control": True}
    exact, rough = analyze("project", plain_context, **options), analyze("project", fast, **options)
    assert (exact.precision, rough.precision) == ("float32", "bfloat16")
    units = [
        [Unit(0, row["map"], row["y"] or 0, row["x"] or 0) for row in each.tables["projections"].records()]
        for each in (exact, rough)
    ]
    assert units[0] == units[1]
    for one, other in zip(exact.tensors["projections"], rough.tensors["projections"], strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=TOLERANCE * np.abs(one).max())
    assert np.array_equal(exact.tensors["controls"], rough.tensors["controls"])


def test_invariance_uses_the_runtime(fast: Context, plain_context: Context) -> None:
    options = {"transformations": ["scale"], "scales": [0.5, 1, 2]}
    exact, rough = analyze("invariance", plain_context, **options), analyze("invariance", fast, **options)
    assert rough.precision == "bfloat16"
    for name, values in exact.tensors.items():
        atol = 2 * TOLERANCE * np.abs(values).max()
        np.testing.assert_allclose(rough.tensors[name], values, rtol=0, atol=atol)


def test_analyses_of_traces_stay_in_float32(fast: Context, plain_context: Context) -> None:
    exact, rough = (analyze("activations", each, layer="conv5") for each in (plain_context, fast))
    assert rough.precision == "float32"
    assert exact.tables == rough.tables


@pytest.fixture
def indexed(fast: Context, tmp_path: Path) -> Context:
    """The context with an index that was made in bfloat16."""
    model = replace(fast.model, indexes=tmp_path / "indexes")
    for number in range(8):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(blobs(number)).save(tmp_path / "photos" / f"{number}.png")
    plan = plan_scan(model.spec, ["conv1", "conv5"], top=4)
    target = indexes_folder(model) / "rough"
    build_index(model, open_data(tmp_path / "photos"), plan, target, runtime=fast.runtime)
    return replace(fast, model=model)


def test_records_of_an_index_in_bfloat16_are_reproduced(indexed: Context) -> None:
    in_float32 = replace(indexed, runtime=create_runtime("torch", indexed.model))
    for context in (indexed, in_float32):
        result = analyze("top-k", context, index="rough", layer="conv5")
        states = {row["state"] for row in result.tables["records"].records()}
        assert states <= {"ok", "silent"}
        assert result.precision == "bfloat16"  # that of the recorded activations
    exact = analyze("top-k", in_float32, index="rough", layer="conv5").tensors["projections"]
    rough = analyze("top-k", indexed, index="rough", layer="conv5").tensors["projections"]
    np.testing.assert_allclose(rough, exact, rtol=0, atol=TOLERANCE * np.abs(exact).max())
    assert not np.array_equal(rough, exact)


def test_evolution_states_the_coarsest_precision(fast: Context, plain_context: Context) -> None:
    """The indexes of this model are in float32; projections are not."""
    options = {"index": "photos", "layer": "conv5", "count": 2}
    exact, rough = analyze("evolve", plain_context, **options), analyze("evolve", fast, **options)
    assert (exact.precision, rough.precision) == ("float32", "bfloat16")
    for one, other in zip(*(each.tables["settling"].records() for each in (exact, rough)), strict=True):
        assert one["median"] == pytest.approx(other["median"], abs=TOLERANCE)
