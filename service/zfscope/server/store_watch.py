"""Versions that appear in a served store: taken up when they are whole, refused when they stay broken."""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import structlog

from zfscope.errors import ZfscopeError

Key = tuple[str, int]
INTERVAL_S = 2.0
_log = structlog.get_logger("zfscope.server")


@dataclass(frozen=True)
class _VersionState:
    """A version as it was found. reason: why it cannot be used, empty if that was not tried."""

    stamp: Hashable
    reason: str = ""
    logged: bool = False


class NewVersionLoader:
    """Tries a version when it is first seen, and again whenever it has stopped changing.

    A model that is being copied changes from look to look: until it stops, nothing is logged of it.
    """

    def __init__(self, stamp: Callable[[Key], Hashable], load: Callable[[Key], None]) -> None:
        """stamp: returns a value that changes with a version's files. load: loads and serves a version."""
        self._stamp, self._load_new = stamp, load
        self._states: dict[Key, _VersionState] = {}

    def check(self, key: Key) -> None:
        """Look at a version that is not served yet. Its failure is logged once; it does not raise."""
        before, stamp = self._states.get(key), self._stamp_of(key)
        if before is not None and before.stamp != stamp:
            self._states[key] = _VersionState(stamp)  # it is changing
        elif before is None or not before.logged:
            self._try(key, before or _VersionState(stamp), settled=before is not None)

    def _try(self, key: Key, look: _VersionState, *, settled: bool) -> None:
        reason = look.reason or self._failure(key)
        if reason and settled:
            _log.warning("refused a model", model=key[0], version=key[1], reason=reason)
        self._states[key] = _VersionState(look.stamp, reason, logged=settled)

    def _failure(self, key: Key) -> str:
        """Take a version up; return why that failed, if it did."""
        try:
            self._load_new(key)
        except ZfscopeError as error:
            return error.message
        except Exception as error:  # whatever it is, the looks go on
            return f"{type(error).__name__}: {error}"
        return ""

    def _stamp_of(self, key: Key) -> Hashable:
        try:
            return self._stamp(key)
        except (OSError, ZfscopeError) as error:  # files come and go while they are looked at
            return str(error)


async def watch_store(refresh: Callable[[], None], interval_s: float = INTERVAL_S) -> None:
    """Take up new versions as they appear, by `Models.refresh`, until this is cancelled."""
    logged = ""
    while True:
        await asyncio.sleep(interval_s)
        reason = await asyncio.to_thread(_failure, refresh)
        if reason and reason != logged:
            _log.warning("could not look for models", reason=reason)
        logged = reason


def _failure(refresh: Callable[[], None]) -> str:
    """Look for new versions; return why that failed, if it did. The next time it may succeed."""
    try:
        refresh()
    except (OSError, ZfscopeError) as error:
        return str(error)
    return ""
