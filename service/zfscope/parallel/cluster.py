"""Joining a Ray cluster, or starting one on this machine while it is needed."""

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
_ADDRESS_FORMATS = "ray://HOST:PORT of the head node or, on a machine of the cluster, HOST:PORT or auto"


@contextmanager
def join_cluster(address: str) -> Iterator[None]:
    """Join the Ray cluster at an address for the duration of a `with` block.

    With an empty address, joins the cluster at RAY_ADDRESS; if that is not set either, starts a cluster on
    the CPUs of this machine and stops it afterwards. If this process has already joined a cluster, that one
    is used and left running. Raises RuntimeUnavailable if the cluster cannot be reached or started.
    """
    if ray.is_initialized():
        yield
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # disables telemetry to Ray's developers
    address = address or os.environ.get("RAY_ADDRESS", "")
    # ray.init installs a signal handler that exits with the number of the signal as the exit code.
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
    except Exception as error:  # Ray has no common class
        raise RuntimeUnavailable(f"Ray cannot be started on this machine: {_reason(error)}") from error


def _join(address: str) -> None:
    if address != "auto":
        _check_listening(address)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray has no common class
        message = f"the Ray cluster at '{address}' cannot be joined: {_reason(error)}"
        raise RuntimeUnavailable(message, field="address") from error


def _check_listening(address: str) -> None:
    """Raise RuntimeUnavailable if nothing listens at an address.

    Ray itself takes up to a minute, and logs many lines, to find that out.
    """
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        socket.create_connection((parts.hostname, parts.port or _CLIENT_PORT), _CONNECT_S).close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"no Ray cluster at '{address}' ({reason}); use {_ADDRESS_FORMATS}"
        raise RuntimeUnavailable(message, field="address") from error


def _reason(error: Exception) -> str:
    """Return the last line of Ray's message (after tracebacks), else the class of the error."""
    cause = error.__cause__ or error
    (reason,) = str(cause).strip().splitlines()[-1:] or [type(cause).__name__]
    return reason
