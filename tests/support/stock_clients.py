"""Third-party clients: the gRPC client of Node.js, and a bare HTTP/2 connection that sends pings."""

import hashlib
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.programs import require_program

_SOURCE = Path(__file__).parent / "node"
_PING, _GOAWAY, _SETTINGS = 6, 7, 4
_ACK = 1


class NodeClient:
    """The gRPC client of Node.js in the version of package-lock.json, which npm fetches once per machine."""

    def __init__(self, source: Path = _SOURCE) -> None:
        """Fetch the packages of a folder. Requires Node.js and npm; skips the test without npm's registry."""
        self._source = source
        self._node = require_program("node", package="nodejs")
        npm = require_program("npm", package="npm")
        lock = (source / "package-lock.json").read_bytes()
        name = f"zfscope-node-{os.getuid()}-{hashlib.sha256(lock).hexdigest()[:12]}"
        self._folder = Path(tempfile.gettempdir()) / name
        if not self._folder.exists():
            self._install(npm)
        for program in source.glob("*.js"):
            shutil.copy(program, self._folder)

    def run(self, folder: Path, program: str, *arguments: str) -> str:
        """Run a program of a folder with the packages of the client; return what it prints."""
        result = self.run_unchecked(folder, program, *arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def run_unchecked(
        self, folder: Path, program: str, *arguments: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program as `run` does; return its exit code and output."""
        self._link_packages(folder)
        command = [self._node, program, *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)

    def start_program(self, folder: Path, program: str, *arguments: str) -> "subprocess.Popen[str]":
        """Start a program of a folder with the packages of the client."""
        self._link_packages(folder)
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [self._node, program, *arguments], cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )

    def start(
        self, address: str, method: str, request: Path, options: Mapping[str, object]
    ) -> "subprocess.Popen[str]":
        """Start a call. request: file of the serialised message."""
        arguments = (address, method, str(request), json.dumps(options))
        return subprocess.Popen(
            [self._node, "call.js", *arguments], cwd=self._folder, stdout=subprocess.PIPE, text=True
        )

    def _link_packages(self, folder: Path) -> None:
        packages = folder / "node_modules"
        if not packages.exists():
            packages.symlink_to(self._folder / "node_modules")

    def _install(self, npm: str) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "node"
            shutil.copytree(self._source, folder, ignore=shutil.ignore_patterns("node_modules"))
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if result.returncode:
                pytest.skip(f"npm cannot fetch @grpc/grpc-js: {result.stderr.strip()[-300:]}")
            try:
                folder.rename(self._folder)
            except OSError:
                if not self._folder.exists():  # otherwise another worker was faster
                    raise


class PingConnection:
    """A bare HTTP/2 connection that only sends pings."""

    def __init__(self, address: str) -> None:
        """Connect, and send the HTTP/2 preface and settings."""
        host, port = address.split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=60)
        self._file = self._socket.makefile("rb")
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS))

    def ping(self, number: int) -> bool:
        """Send a ping and return whether it is answered; False if the server ends the connection."""
        data = struct.pack(">Q", number)
        self._socket.sendall(_frame(_PING, data=data))
        while True:
            head = self._file.read(9)
            if len(head) < 9:
                return False
            kind, flags = head[3], head[4]
            payload = self._file.read(int.from_bytes(head[:3], "big"))
            if kind == _GOAWAY:
                return False
            if kind == _PING and flags & _ACK and payload == data:
                return True
            if kind in (_PING, _SETTINGS) and not flags & _ACK:
                self._socket.sendall(_frame(kind, _ACK, payload if kind == _PING else b""))

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()


def _frame(kind: int, flags: int = 0, data: bytes = b"") -> bytes:
    return len(data).to_bytes(3, "big") + bytes((kind, flags)) + bytes(4) + data
