"""Contract of all installed analyzers, built-in or from plugins."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from zfscope.analysis.contract import Context
from zfscope.analysis.registry import RegisteredAnalyzer, load_analyzers
from zfscope.analysis.run import default_cost, read_params, run
from zfscope.errors import Cancelled

ANALYZERS = [pytest.param(result, id=name) for name, result in load_analyzers().items()]
# Required parameters of analyzers; add a built-in analyzer here if it has any.
NEEDED: dict[str, dict[str, Any]] = {
    "compare-architectures": {"others": ["narrow"]},
    "correspond": {
        "parts": [{"name": "middle", "boxes": [{"x0": 20, "y0": 12, "x1": 36, "y1": 30}] * 2}],
        "layers": ["relu5", "relu7"],
    },
    "evolve": {"index": "photos", "layer": "conv5"},
    "top-k": {"index": "photos"},
}

WithPhotos = Callable[[Context, int], Context]


@pytest.mark.parametrize("registered", ANALYZERS)
def test_the_result_is_valid_and_contains_only_what_was_requested(
    registered: RegisteredAnalyzer, context: Context, with_photos: WithPhotos
) -> None:
    params = read_params(registered.analyzer, NEEDED.get(registered.analyzer.name, {}))
    result = run(registered.analyzer, with_photos(context, registered.analyzer.photos[0]), params)
    assert result.pictures
    assert len({picture.name for picture in result.pictures}) == len(result.pictures)
    assert all(picture.scale for picture in result.pictures)
    assert result.tensors == {}


@pytest.mark.parametrize("registered", ANALYZERS)
def test_the_result_is_deterministic_and_has_no_pictures_unless_requested(
    registered: RegisteredAnalyzer, plain_context: Context, with_photos: WithPhotos
) -> None:
    params = read_params(registered.analyzer, NEEDED.get(registered.analyzer.name, {}))
    context = with_photos(plain_context, registered.analyzer.photos[0])
    first, second = (run(registered.analyzer, context, params) for _ in range(2))
    assert first.pictures == ()
    assert first.tensors
    assert first.tables == second.tables
    for name, tensor in first.tensors.items():
        np.testing.assert_array_equal(tensor, second.tensors[name])


@pytest.mark.parametrize("registered", ANALYZERS)
def test_every_parameter_has_a_description(registered: RegisteredAnalyzer) -> None:
    schema = registered.analyzer.params.model_json_schema()
    assert all(field.get("description") for field in schema["properties"].values())
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("registered", ANALYZERS)
def test_the_cost_is_positive(registered: RegisteredAnalyzer, context: Context) -> None:
    cost = default_cost(registered.analyzer, context.model)
    if registered.analyzer.name not in NEEDED:
        assert cost is not None
        assert cost >= 1


@pytest.mark.parametrize("registered", ANALYZERS)
def test_a_cancelled_call_is_not_started(
    registered: RegisteredAnalyzer, cancelled_context: Context, with_photos: WithPhotos
) -> None:
    params = read_params(registered.analyzer, NEEDED.get(registered.analyzer.name, {}))
    with pytest.raises(Cancelled):
        run(registered.analyzer, with_photos(cancelled_context, registered.analyzer.photos[0]), params)


@pytest.mark.parametrize("registered", ANALYZERS)
def test_cancellation_is_checked_between_steps(
    registered: RegisteredAnalyzer, context: Context, with_photos: WithPhotos
) -> None:
    params = read_params(registered.analyzer, NEEDED.get(registered.analyzer.name, {}))
    checks = 0

    def check(cancel_at: float = math.inf) -> None:
        nonlocal checks
        checks += 1
        if checks == cancel_at:
            raise Cancelled("the call was cancelled")

    photos = with_photos(replace(context, check_cancelled=check), registered.analyzer.photos[0])
    run(registered.analyzer, photos, params)
    last, checks = checks, 0
    assert last >= 3
    cancelled = replace(photos, check_cancelled=lambda: check(cancel_at=last))
    with pytest.raises(Cancelled):
        run(registered.analyzer, cancelled, params)
