"""Restart of a single service during analyses. `benchmarks.restart` repeats it 50 times."""

from benchmarks import restart
from zfscope.server.settings import Settings


def test_when_a_single_service_restarts_every_analysis_ends_with_a_result_or_not_ready(
    settings: Settings, photo: bytes
) -> None:
    environment = {
        "ZFSCOPE_DEFAULT_MODEL": settings.default_model,
        "ZFSCOPE_CACHE": str(settings.cache),
        "ZFSCOPE_THREADS": "1",
        "ZFSCOPE_ANALYZERS": '["project"]',
        "ZFSCOPE_LAME_DUCK_S": "0",
    }
    loops: list[restart.AnalysisLoop] = []

    restarts = list(restart.run(settings.store, photo, loops, restarts=1, clients=4, environment=environment))

    assert restarts == [1]
    assert restart.is_clean(restart.summary(loops, 1)), restart.summary(loops, 1)
