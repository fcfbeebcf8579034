"""Looking for models that appear in the store while the service runs."""

import asyncio

import structlog

from zfscope.errors import ZfscopeError
from zfscope.server.models import Models

EVERY_S = 2.0
_log = structlog.get_logger("zfscope.server")


async def watch(models: Models, every_s: float = EVERY_S) -> None:
    """Take up new versions as they appear, until this is cancelled."""
    logged = ""
    while True:
        await asyncio.sleep(every_s)
        reason = await asyncio.to_thread(_failure, models)
        if reason and reason != logged:
            _log.warning("could not look for models", reason=reason)
        logged = reason


def _failure(models: Models) -> str:
    """Look for new versions; return why that failed, if it did. The next look may succeed."""
    try:
        models.refresh()
    except (OSError, ZfscopeError) as error:
        return str(error)
    return ""
