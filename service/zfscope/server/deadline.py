"""The time that a call gets: what its caller says, within what the service allows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from zfscope.errors import TooLate


@dataclass(frozen=True)
class Deadlines:
    """default_s: for a call without a deadline. longest_s: for any call."""

    default_s: float = 300
    longest_s: float = 900

    def seconds(self, context: grpc.aio.ServicerContext[Any, Any], *, stream: bool = False) -> float:
        """Return the time that a call has from now on.

        stream: whether the answer is a stream. Without a deadline a stream gets the longest time: its caller
        reads its progress, and so waits on purpose.
        """
        left_s: Any = context.time_remaining()  # None without a deadline, whatever the stubs say
        unsaid_s = self.longest_s if stream else self.default_s
        return min(unsaid_s if left_s is None else left_s, self.longest_s)


@asynccontextmanager
async def ended_after(seconds: float) -> AsyncIterator[None]:
    """Cancel what is awaited inside when the time is over. Raises TooLate then."""
    try:
        async with asyncio.timeout(seconds) as timer:
            yield
    except TimeoutError as error:
        if timer.expired():
            raise TooLate(f"the deadline has passed: the call had {seconds:.3g} s") from error
        raise
