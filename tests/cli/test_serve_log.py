"""`zfscope serve` starts, answers calls and stops normally even if its log or stdout cannot be written."""

import signal
import socket
import subprocess
from pathlib import Path

import pytest

from zfscope.client import Client


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", ">/dev/full 2>&1", ">&- 2>&- <&-", "2>&1"])
def test_calls_are_answered_even_if_the_output_cannot_be_written(
    command: Path, store: Path, photo: Path, tmp_path: Path, redirection: str
) -> None:
    address = free_address()
    options = ["--listen", address, "--store", store, "--cache", tmp_path, "--threads", "1"]
    shell = ["sh", "-c", f'exec "$0" "$@" {redirection}', command, "serve", *options]
    service = subprocess.Popen(shell, stdout=subprocess.PIPE, text=True)
    try:
        assert service.stdout is not None
        if redirection == "2>&1":
            assert '"event": "started"' in service.stdout.readline()
        service.stdout.close()  # as `head -n 1` does
        with Client(address) as client:
            client.wait_until_ready(120)
            assert [client.classify(photo.read_bytes()).model for _ in range(2)] == ["tiny"] * 2
        service.send_signal(signal.SIGINT)
        assert service.wait(timeout=60) == 0
    finally:
        service.kill()
        service.wait()
