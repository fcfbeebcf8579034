"""Two network namespaces, joined by a virtual cable that can be cut without either end noticing."""

import os
import subprocess
from collections.abc import Sequence

from tests.support.programs import require_program, skip_missing

# Addresses inside the namespaces; they cannot be reached from outside.
SERVER, CLIENT = "10.99.0.1", "10.99.0.2"
# A hardware address that no device has: packets sent to it are lost.
_UNUSED_ADDRESS = "02:00:00:00:00:fe"


class Cable:
    """Two connected namespaces. `server` and `client`: commands that run another command in each of them."""

    def __init__(self) -> None:
        """Create the namespaces. Skip the test without root or `ip`; fail it if CI=true."""
        self._ip = require_program("ip", package="iproute2")
        if os.geteuid() != 0:
            skip_missing("creating network namespaces requires root")
        self._names = [f"zfscope-{os.getpid()}-{side}" for side in ("server", "client")]
        self.server, self.client = ([self._ip, "netns", "exec", name] for name in self._names)
        for name in self._names:
            self._run("netns", "add", name)
        server, client = self._names
        self._run("-n", server, "link", "add", "eth", "type", "veth", "peer", "name", "eth", "netns", client)
        for name, address in zip(self._names, (SERVER, CLIENT), strict=True):
            self._run("-n", name, "address", "add", f"{address}/24", "dev", "eth")
            for device in ("lo", "eth"):
                self._run("-n", name, "link", "set", device, "up")

    def cut(self) -> None:
        """Drop every packet in both directions from now on; no connection is closed or refused."""
        for name, other in zip(self._names, (CLIENT, SERVER), strict=True):
            entry = ("neigh", "replace", other, "lladdr", _UNUSED_ADDRESS, "dev", "eth", "nud", "permanent")
            self._run("-n", name, *entry)

    def mend(self) -> None:
        """Let packets through again."""
        for name, other in zip(self._names, (CLIENT, SERVER), strict=True):
            self._run("-n", name, "neigh", "del", other, "dev", "eth")

    def close(self) -> None:
        """Remove the namespaces."""
        for name in self._names:
            self._run("netns", "del", name)

    def _run(self, *arguments: str) -> None:
        command: Sequence[str] = [self._ip, *arguments]
        subprocess.run(command, check=True)
