"""`benchmarks.probe`, on a tiny model: every variant is timed over the same photos."""

from pathlib import Path

from benchmarks.probe import BARE, DECODING, OURS, measure
from tests.probe.conftest import CLASSES, write_photos
from tests.scan.conftest import write_tiny
from zfscope.store import ModelStore


def test_all_variants_are_timed(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    photos = write_photos(tmp_path / "photos")
    (tmp_path / "scratch").mkdir()
    times = measure(ModelStore(tmp_path).load("tiny"), photos / CLASSES[0], 8, 1, tmp_path / "scratch")
    assert {OURS, BARE, DECODING} < {*times}
    assert min(times.values()) > 0
    assert times[BARE] == min(seconds for name, seconds in times.items() if name.startswith(BARE))
