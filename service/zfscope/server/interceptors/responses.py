"""Sending of responses, within limits of size and of the time that clients take to read them."""

import asyncio

from zfscope.errors import TooLate, TooMuchWork
from zfscope.server.interceptors import Context
from zfscope.server.interceptors.calls import wait_until_sent

# Time limit for reading a response: seconds, and bytes per second in addition.
_READ_S = 60.0
_READ_BYTES_PER_S = 256 << 10


class ResponseSender:
    """Sends the responses of one call. unsent_bytes: size of a response that the client has not read."""

    def __init__(self, context: Context, max_bytes: int) -> None:
        """max_bytes: maximum size of a response."""
        self._context, self._max_bytes = context, max_bytes
        self.unsent_bytes = 0

    async def send(self, response: bytes) -> None:
        """Send a response and wait until the client has read it, except for what the network buffers.

        Raises TooMuchWork for a response over the limit, and TooLate if the client does not read it in time.
        """
        size = len(response)
        if size > self._max_bytes:
            raise TooMuchWork(
                f"the response has {size:,} bytes; allowed: at most {self._max_bytes:,}, max_send_bytes of "
                "the service; request fewer units, pictures or tensors at once"
            )
        limit_s = _READ_S + size / _READ_BYTES_PER_S
        self.unsent_bytes = size
        try:
            async with asyncio.timeout(limit_s):
                await wait_until_sent(self._context.write(response))
        except TimeoutError as error:
            message = f"the client did not read a response of {size:,} bytes within {limit_s:.3g} s"
            raise TooLate(message) from error
        self.unsent_bytes = 0
