"""A Ray cluster to work on: one that is there, or one of this machine's for as long as it is needed."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from urllib.parse import urlsplit

import ray

from zfscope.errors import RuntimeUnavailable
from zfscope.processors import usable_cpus
from zfscope.termination import keep_handlers

_CLIENT_PORT = 10001
_CONNECT_S = 10.0
_ADDRESS_FORMATS = "ray://HOST:PORT of its head, or, on a machine of the cluster, HOST:PORT or auto"


@contextmanager
def join_cluster(address: str) -> Iterator[None]:
    """Join the cluster at an address, and leave it as it was.

    Without one, that of RAY_ADDRESS is joined, else one of this machine's CPUs is started, and ended
    afterwards. A program that has joined a cluster already stays in that. Raises RuntimeUnavailable where
    there is no cluster.
    """
    if ray.is_initialized():
        yield
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # else Ray tells its makers what it is used for
    address = address or os.environ.get("RAY_ADDRESS", "")
    # Ray's own handler would end the process with the number of the signal as its exit code.
    keep_handlers(partial(_join, address) if address else _start)
    try:
        yield
    finally:
        ray.shutdown()


def _start() -> None:
    cpus = usable_cpus()
    try:
        ray.init(
            "local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
        )
    except Exception as error:  # of any kind
        raise RuntimeUnavailable(f"Ray cannot be started here: {_reason(error)}") from error


def _join(address: str) -> None:
    if address != "auto":
        _check_listening(address)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # of any kind
        message = f"the Ray cluster at '{address}' cannot be joined: {_reason(error)}"
        raise RuntimeUnavailable(message, field="address") from error


def _check_listening(address: str) -> None:
    """Knock first: Ray takes up to a minute, and many lines, to find that nobody is there."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        socket.create_connection((parts.hostname, parts.port or _CLIENT_PORT), _CONNECT_S).close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"no Ray cluster at '{address}' ({reason}); an address is {_ADDRESS_FORMATS}"
        raise RuntimeUnavailable(message, field="address") from error


def _reason(error: Exception) -> str:
    """Return the last line of Ray's message, after its tracebacks; without a message, the kind of error."""
    cause = error.__cause__ or error
    (reason,) = str(cause).strip().splitlines()[-1:] or [type(cause).__name__]
    return reason
