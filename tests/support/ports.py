"""Ports for servers that take a number and cannot say which one the system chose."""

import contextlib
import random
import socket
from pathlib import Path

_FIRST = 20_000
"""Below it are ports of well-known services."""


def free_ports(count: int) -> list[int]:
    """Return ports of this machine on which nothing listens.

    They lie below the range from which Linux takes ports for connections: one of that range may go to any
    client before the server binds it.
    """
    limits = Path("/proc/sys/net/ipv4/ip_local_port_range")
    end = int(limits.read_text().split()[0]) if limits.exists() else 32_768
    ports = list[int]()
    for port in random.sample(range(_FIRST, end), end - _FIRST):
        with socket.socket() as attempt, contextlib.suppress(OSError):
            attempt.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise AssertionError(f"fewer than {count} free ports from {_FIRST} to {end - 1}")
