"""States of a gRPC channel, in order."""

import queue
import time

import grpc

TIMEOUT_S = 30


class ChannelStates:
    """Records the states of a channel from now on."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._states: queue.Queue[grpc.ChannelConnectivity] = queue.Queue()
        channel.subscribe(self._states.put)

    def wait_for(self, state: grpc.ChannelConnectivity) -> None:
        """Wait until the channel enters a state. Raises queue.Empty if it does not."""
        end = time.monotonic() + TIMEOUT_S
        while self._states.get(timeout=max(end - time.monotonic(), 0)) is not state:
            pass
