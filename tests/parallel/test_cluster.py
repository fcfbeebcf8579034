"""Joining a Ray cluster, without Ray's own processes."""

import pytest
import ray

from zfscope.errors import RuntimeUnavailable
from zfscope.parallel import cluster


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("Traceback ...\n  File ...\nNobody is there.\n"), "Nobody is there."),
        (ConnectionError(), "ConnectionError"),
    ],
)
def test_a_failure_to_join_ray_is_reported_by_its_last_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def init(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", init)
    with (
        pytest.raises(RuntimeUnavailable, match=f"^the Ray cluster at 'auto' cannot be joined: {message}$"),
        cluster.join_cluster("auto"),
    ):
        pass
