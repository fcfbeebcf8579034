"""Restart of two replicas, one by one, under 16 clients, without and with a health watch.

`benchmarks.shutdown` repeats it.
"""

from pathlib import Path

from benchmarks import shutdown
from zfscope.server.settings import Settings


def test_restarting_replicas_one_by_one_fails_no_call(settings: Settings, tmp_path: Path) -> None:
    photos = [shutdown.padded_photo(tmp_path, size) for size in (200_000, 2_000_000)]
    environment = {
        "ZFSCOPE_DEFAULT_MODEL": settings.default_model,
        "ZFSCOPE_CACHE": str(tmp_path),
        "ZFSCOPE_THREADS": "1",
        "ZFSCOPE_ANALYZERS": '["project"]',
        "ZFSCOPE_LAME_DUCK_S": "2",
    }

    rounds = shutdown.run(settings.store, *photos, rounds=1, processes=2, each=8, environment=environment)

    for result in rounds:
        assert result.clean, result
