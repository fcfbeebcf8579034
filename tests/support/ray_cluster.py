"""A Ray cluster of few CPUs that the process of a test has joined."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import ray
import ray._private.node


class _PatientTime:
    """A slow clock for Ray's start, whose timeout of 30 s is too short on a busy machine."""

    sleep = staticmethod(time.sleep)
    time = staticmethod(time.time)

    @staticmethod
    def monotonic() -> float:
        """Return a clock that runs at a sixth of the speed."""
        return time.monotonic() / 6


@contextmanager
def small_cluster(cpus: int) -> Iterator[None]:
    """Start a cluster of this many CPUs, and stop it afterwards."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Otherwise, actors get too little CPU time on a busy machine.
        environment.setenv("RAY_worker_niceness", "0")
        environment.setattr(ray._private.node, "time", _PatientTime)
        ray.init(
            "local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=80 << 20,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        yield
        ray.shutdown()
