"""Ray actors compute the features that threads compute."""

from collections.abc import Callable
from pathlib import Path

from tests.probe.conftest import results
from tests.support.ray_cluster import small_cluster
from zfscope.parallel.ray_engine import RayEngine
from zfscope.probe import ProbeResult

CPUS = 1


def test_a_probe_on_ray_writes_the_files_of_one_in_threads(
    make: Callable[..., ProbeResult], tmp_path: Path
) -> None:
    whole = make("threads")
    with small_cluster(CPUS):
        assert make("ray", options={"engine": RayEngine()}) == whole
    assert results(tmp_path / "out" / "ray") == results(tmp_path / "out" / "threads")
