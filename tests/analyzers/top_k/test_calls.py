"""Progress, cancellation and cost of the analyzer `top-k`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.analyzers.top_k.conftest import TOP_K, analyze, records
from zfscope.analysis.contract import Analysis, Context
from zfscope.errors import Cancelled


def test_progress_shows_the_maps_that_are_complete(ready: Context) -> None:
    reports: list[float] = []
    shown: list[int] = []

    def progress(share: float, partial: Callable[[], Analysis] | None) -> None:
        reports.append(share)
        if partial is not None:
            (picture,) = partial().pictures
            shown.append(picture.scale.count("map "))

    analyze(replace(ready, progress=progress), count=12)
    assert reports == sorted(reports)
    assert reports[-1] == 1
    assert shown == sorted(shown)
    assert shown[-1] == 12


def test_cancellation_is_checked_before_each_photo_and_each_projection(ready: Context) -> None:
    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1

    rows = records(analyze(replace(ready, check_cancelled=check), count=12))
    assert checks > len({row["path"] for row in rows})

    def cancel() -> None:
        raise Cancelled("the client cancelled the call or disconnected")

    with pytest.raises(Cancelled):
        analyze(replace(ready, check_cancelled=cancel))


def test_the_cost_is_a_trace_and_a_projection_per_record(ready: Context) -> None:
    def cost(**params: Any) -> int:
        return TOP_K.cost(ready.model, TOP_K.params(**params))

    assert cost() == 2 * 81
    assert cost(maps=(1, 2), top=3) == 2 * 6
    assert cost(count=4, top=2, control=True) == 4 * 8
