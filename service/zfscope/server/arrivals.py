"""Versions that appear in a served store: taken up when they are whole, refused when they stay broken."""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import structlog

from zfscope.errors import ZfscopeError

Key = tuple[str, int]
EVERY_S = 2.0
_log = structlog.get_logger("zfscope.server")


@dataclass(frozen=True)
class _Look:
    """A version as it was found. reason: why it cannot be used, empty if that was not tried."""

    stamp: Hashable
    reason: str = ""
    logged: bool = False


class Arrivals:
    """Tries a version when it is first seen, and again whenever it has stopped changing.

    A model that is being copied changes from look to look: until it stops, nothing is logged of it.
    """

    def __init__(self, stamp: Callable[[Key], Hashable], take_up: Callable[[Key], None]) -> None:
        """stamp: returns a value that changes with a version's files. take_up: loads and serves a version."""
        self._stamp, self._take_up = stamp, take_up
        self._looks: dict[Key, _Look] = {}

    def look(self, key: Key) -> None:
        """Look at a version that is not served yet. Its failure is logged once; it does not raise."""
        before, stamp = self._looks.get(key), self._stamp_of(key)
        if before is not None and before.stamp != stamp:
            self._looks[key] = _Look(stamp)  # it is changing
        elif before is None or not before.logged:
            self._try(key, before or _Look(stamp), settled=before is not None)

    def _try(self, key: Key, look: _Look, *, settled: bool) -> None:
        reason = look.reason or self._failure(key)
        if reason and settled:
            _log.warning("refused a model", model=key[0], version=key[1], reason=reason)
        self._looks[key] = _Look(look.stamp, reason, logged=settled)

    def _failure(self, key: Key) -> str:
        """Take a version up; return why that failed, if it did."""
        try:
            self._take_up(key)
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


async def watch_store(refresh: Callable[[], None], every_s: float = EVERY_S) -> None:
    """Take up new versions as they appear, by `Models.refresh`, until this is cancelled."""
    logged = ""
    while True:
        await asyncio.sleep(every_s)
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
