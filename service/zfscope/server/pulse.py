"""Health that follows what runs the passes: off while it cannot, and on again once it has run one."""

import asyncio

import structlog

from zfscope.errors import RuntimeUnavailable
from zfscope.server.health import Health
from zfscope.server.models import Models

EVERY_S = 1.0
_log = structlog.get_logger("zfscope.server")


class Pulse:
    """Looks after the runtime of the default model, and tells its health."""

    def __init__(
        self, models: Models, health: Health, *, by_passes: bool = False, every_s: float = EVERY_S
    ) -> None:
        """by_passes: every look is a whole pass; a GPU that fails shows it in nothing less."""
        self._models, self._health, self._by_passes, self._every_s = models, health, by_passes, every_s
        self._felt = asyncio.Event()

    async def felt(self) -> None:
        """Wait until a pass has been run for the first time."""
        await self._felt.wait()

    async def beat(self) -> None:
        """Look every while, until this is cancelled: by a whole pass first, and after every fault."""
        serving: bool | None = None  # nothing has been told
        while True:
            fault = await asyncio.to_thread(self._look, whole=self._by_passes or not serving)
            if serving is not (fault is None):
                serving = fault is None
                _tell(fault)
                self._health.set(serving=serving)
            if serving:
                self._felt.set()
            await asyncio.sleep(self._every_s)

    def _look(self, *, whole: bool) -> Exception | None:
        """Give what is wrong, if anything is: whatever it is, the service must not say that it serves."""
        try:
            loaded = self._models.loaded("", None)
            if whole:
                loaded.warm_up()
            else:
                loaded.runtime.check()
        except Exception as error:
            return error
        return None


def _tell(fault: Exception | None) -> None:
    if fault is None:
        _log.info("serving")
    else:
        expected = isinstance(fault, RuntimeUnavailable)
        _log.warning("not serving", reason=str(fault), exc_info=None if expected else fault)
