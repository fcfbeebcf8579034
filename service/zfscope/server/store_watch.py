"""Watching of the model store: new versions are loaded when complete and rejected if they stay broken."""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import structlog

from zfscope.errors import ZfscopeError

# Model name and version.
ModelKey = tuple[str, int]
# Seconds between two checks of the store.
INTERVAL_S = 2.0
_log = structlog.get_logger("zfscope.server")


@dataclass(frozen=True)
class _VersionState:
    """State of a version at its last check.

    stamp: see `NewVersionLoader`. reason: why loading failed; empty if loading was not tried or succeeded.
    logged: whether the failure was logged.
    """

    stamp: Hashable
    reason: str = ""
    logged: bool = False


class NewVersionLoader:
    """Loads new versions: tries each when first seen, and again once its files have stopped changing.

    The files of a model that is being copied differ from one check to the next, so a failure is logged only
    when two checks find the same files.
    """

    def __init__(self, stamp: Callable[[ModelKey], Hashable], load: Callable[[ModelKey], None]) -> None:
        """stamp: returns a value that changes with a version's files. load: loads a version and serves it."""
        self._stamp, self._load = stamp, load
        self._states: dict[ModelKey, _VersionState] = {}

    def check(self, key: ModelKey) -> None:
        """Load a version that is not served yet, if it is complete. A failure is logged, not raised."""
        before, stamp = self._states.get(key), self._stamp_of(key)
        if before is not None and before.stamp != stamp:
            self._states[key] = _VersionState(stamp)  # its files are still changing
        elif before is None or not before.logged:
            self._try(key, before or _VersionState(stamp), settled=before is not None)

    def _try(self, key: ModelKey, state: _VersionState, *, settled: bool) -> None:
        reason = state.reason or self._load_error(key)
        if reason and settled:
            _log.warning("model rejected", model=key[0], version=key[1], reason=reason)
        self._states[key] = _VersionState(state.stamp, reason, logged=settled)

    def _load_error(self, key: ModelKey) -> str:
        """Load a version; return the reason if that fails, else an empty string."""
        try:
            self._load(key)
        except ZfscopeError as error:
            return error.message
        except Exception as error:  # any failure: other versions must still be checked
            return f"{type(error).__name__}: {error}"
        return ""

    def _stamp_of(self, key: ModelKey) -> Hashable:
        try:
            return self._stamp(key)
        except (OSError, ZfscopeError) as error:  # files may appear and vanish during the check
            return str(error)


async def watch_store(refresh: Callable[[], None], interval_s: float = INTERVAL_S) -> None:
    """Call `refresh` (of `ModelCache`) every `interval_s` seconds until cancelled; log its failures."""
    logged = ""
    while True:
        await asyncio.sleep(interval_s)
        reason = await asyncio.to_thread(_refresh_error, refresh)
        if reason and reason != logged:
            _log.warning("model store check failed", reason=reason)
        logged = reason


def _refresh_error(refresh: Callable[[], None]) -> str:
    """Call `refresh`; return the reason if it fails, which may be temporary, else an empty string."""
    try:
        refresh()
    except (OSError, ZfscopeError) as error:
        return str(error)
    return ""
