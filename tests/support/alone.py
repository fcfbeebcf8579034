"""A service as a process of its own, for what could bring one down."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True)
class Alone:
    """A service that serves, and a plain connection to it."""

    process: "subprocess.Popen[str]"
    address: str
    channel: grpc.Channel


def memory_kib(process: "subprocess.Popen[str]", what: str) -> int:
    """Give a process's VmRSS, what is resident, or VmHWM, the most that ever was."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split(f"{what}:")[1].split()[0])
