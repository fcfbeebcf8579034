"""A process that has imported the service, and forks a Python process for each request.

Imports take most of the time of a service's start. A forked process already has the modules; otherwise it
runs its program as a new interpreter would: in `__main__`, with its own arguments, folder and output.
"""

import gc
import json
import os
import selectors
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points

import coverage

# Not ONNX Runtime, which starts threads when it is imported.
PRELOADED = ("zfscope.cli.serve", "zfscope.server.app")
MESSAGE_BYTES = 1 << 20


@dataclass(frozen=True)
class Program:
    """A program for a forked process: its source, and what it runs with."""

    source: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str

    def run(self) -> None:
        """Run the program in `__main__`."""
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.folder)
        coverage.process_startup()
        sys.argv = ["-c", *self.arguments]
        sys.path[:1] = ["", *filter(None, self.environment.get("PYTHONPATH", "").split(os.pathsep))]
        main_module = sys.modules["__main__"]
        vars(main_module).update(__name__="__main__", __spec__=None)
        exec(compile(self.source, "<string>", "exec"), vars(main_module))


class ForkServer:
    """Forks a process for each request on a socket, and reports its exit code."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        # Key: descriptor that becomes readable when the process ends. Value: id of the process, and the
        # descriptor to which its exit code is written.
        self._running: dict[int, tuple[int, int]] = {}

    def serve(self) -> Program | None:
        """Serve until the client is gone, then return None; in a forked process, return its program."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._control:
                    self._report_exit(key.fd)
                    continue
                message, descriptors, *_ = socket.recv_fds(self._control, MESSAGE_BYTES, 3)
                if not message:
                    return None
                if self._fork(descriptors):
                    return Program(**json.loads(message))

    def _fork(self, descriptors: list[int]) -> bool:
        """Fork; return whether this is the forked process.

        descriptors: its standard output, its standard error, and where its exit code is written.
        """
        out, err, status = descriptors
        process = os.fork()
        if not process:
            self._leave(out, err, status)
            return True
        self._control.send(str(process).encode())
        os.close(out)
        os.close(err)
        ended = os.pidfd_open(process)
        self._running[ended] = process, status
        self._selector.register(ended, selectors.EVENT_READ)
        return False

    def _leave(self, out: int, err: int, status: int) -> None:
        """Take the outputs, and close everything that belongs to the server."""
        os.dup2(out, 1)
        os.dup2(err, 2)
        self._control.close()
        self._selector.close()
        others = [number for ended, (_, status) in self._running.items() for number in (ended, status)]
        for number in (out, err, status, *others):
            os.close(number)

    def _report_exit(self, ended: int) -> None:
        process, status = self._running.pop(ended)
        self._selector.unregister(ended)
        os.close(ended)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        os.write(status, str(code).encode())
        os.close(status)


def preload() -> None:
    """Import the service and its analyzers."""
    for name in PRELOADED:
        import_module(name)
    for entry in entry_points(group="zfscope.analyzers"):
        entry.load()
    # A fork copies one thread only. (That of pyarrow's memory allocator starts again.)
    assert threading.active_count() == 1
    gc.freeze()


def main() -> None:
    """Serve requests on the socket whose descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    preload()
    if program := ForkServer(socket.socket(fileno=int(sys.argv[1]))).serve():
        program.run()


if __name__ == "__main__":
    main()
