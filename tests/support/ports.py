"""Ports for servers that cannot report a port chosen by the system."""

import contextlib
import random
import socket
from pathlib import Path

# Lower ports belong to well-known services.
_FIRST = 20_000


def free_ports(count: int) -> list[int]:
    """Return the given number of ports of this machine on which nothing listens.

    They are below the range of ephemeral ports: Linux may assign a port of that range to any outgoing
    connection before the server binds it.
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
