"""What holds for every analyzer that is installed, whoever wrote it."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from zfscope.analysis.contract import Context
from zfscope.analysis.registry import Registered, load_analyzers
from zfscope.analysis.run import default_cost, read_params, run
from zfscope.errors import Cancelled

ANALYZERS = [pytest.param(found, id=name) for name, found in load_analyzers().items()]
NEEDED: dict[str, dict[str, Any]] = {
    "compare-architectures": {"others": ["narrow"]},
    "correspond": {
        "parts": [{"name": "middle", "boxes": [{"x0": 20, "y0": 12, "x1": 36, "y1": 30}] * 2}],
        "layers": ["relu5", "relu7"],
    },
    "evolve": {"index": "photos", "layer": "conv5"},
    "top-k": {"index": "photos"},
}
"""What an analyzer has to be given beyond its defaults; a built-in one is added here when it needs any."""

WithPhotos = Callable[[Context, int], Context]


@pytest.mark.parametrize("found", ANALYZERS)
def test_it_gives_only_what_can_be_sent_and_what_was_asked_for(
    found: Registered, context: Context, with_photos: WithPhotos
) -> None:
    params = read_params(found.analyzer, NEEDED.get(found.analyzer.name, {}))
    seen = run(found.analyzer, with_photos(context, found.analyzer.photos[0]), params)
    assert seen.pictures
    assert len({picture.name for picture in seen.pictures}) == len(seen.pictures)
    assert all(picture.scale for picture in seen.pictures)
    assert seen.tensors == {}


@pytest.mark.parametrize("found", ANALYZERS)
def test_it_gives_the_same_twice_without_pictures(
    found: Registered, plain_context: Context, with_photos: WithPhotos
) -> None:
    params = read_params(found.analyzer, NEEDED.get(found.analyzer.name, {}))
    context = with_photos(plain_context, found.analyzer.photos[0])
    first, second = (run(found.analyzer, context, params) for _ in range(2))
    assert first.pictures == ()
    assert first.tensors
    assert first.tables == second.tables
    for name, tensor in first.tensors.items():
        np.testing.assert_array_equal(tensor, second.tensors[name])


@pytest.mark.parametrize("found", ANALYZERS)
def test_its_parameters_are_described_one_by_one(found: Registered) -> None:
    schema = found.analyzer.params.model_json_schema()
    assert all(field.get("description") for field in schema["properties"].values())
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("found", ANALYZERS)
def test_it_says_what_it_costs(found: Registered, context: Context) -> None:
    cost = default_cost(found.analyzer, context.model)
    if found.analyzer.name not in NEEDED:
        assert cost is not None
        assert cost >= 1


@pytest.mark.parametrize("found", ANALYZERS)
def test_it_does_not_run_for_a_caller_that_is_gone(
    found: Registered, cancelled_context: Context, with_photos: WithPhotos
) -> None:
    params = read_params(found.analyzer, NEEDED.get(found.analyzer.name, {}))
    with pytest.raises(Cancelled):
        run(found.analyzer, with_photos(cancelled_context, found.analyzer.photos[0]), params)


@pytest.mark.parametrize("found", ANALYZERS)
def test_it_looks_between_its_steps_whether_anyone_still_waits(
    found: Registered, context: Context, with_photos: WithPhotos
) -> None:
    params = read_params(found.analyzer, NEEDED.get(found.analyzer.name, {}))
    looks = 0

    def look(gone_at: float = math.inf) -> None:
        nonlocal looks
        looks += 1
        if looks == gone_at:
            raise Cancelled("the caller went away")

    photos = with_photos(replace(context, check_cancelled=look), found.analyzer.photos[0])
    run(found.analyzer, photos, params)
    last, looks = looks, 0
    assert last >= 3
    gone = replace(photos, check_cancelled=lambda: look(gone_at=last))
    with pytest.raises(Cancelled):
        run(found.analyzer, gone, params)
