"""Looking for models that appear in the store while the service runs."""

import asyncio

import structlog

from zfscope.server.models import Models

EVERY_S = 2.0
_log = structlog.get_logger("zfscope.server")


async def watch(models: Models, every_s: float = EVERY_S) -> None:
    """Take up new versions as they appear, until this is cancelled."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await asyncio.to_thread(models.refresh)
        except OSError as error:  # files may come and go while they are looked at; the next look sees them
            _log.warning("could not look for models", reason=str(error))
