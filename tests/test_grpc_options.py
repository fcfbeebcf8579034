"""Options of gRPC channels and servers: gRPC silently ignores unknown keys."""

import re
from pathlib import Path

import pytest
from grpc._cython import cygrpc

ROOT = Path(__file__).parent.parent
FOLDERS = ("service", "analyzers", "examples", "benchmarks", "tests")
# A key and its value, as every option is written.
PAIR = re.compile(r"""\(\s*["'](grpc\.[a-z0-9_.]+)["']\s*,\s*[^)\s]""")


def options() -> list[str]:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return sorted({key for path in files for key in PAIR.findall(path.read_text())})


def is_known(key: str) -> bool:
    """Return whether a key is a C string of gRPC's library."""
    return key.encode() + b"\0" in Path(cygrpc.__file__).read_bytes()


def test_options_of_client_and_server_are_found() -> None:
    assert {"grpc.keepalive_time_ms", "grpc.service_config", "grpc.so_reuseport"} <= set(options())


@pytest.mark.parametrize("key", options())
def test_grpc_supports_the_option(key: str) -> None:
    assert is_known(key)


def test_an_unknown_option_is_detected() -> None:
    assert not is_known("grpc.http2.min_recv_ping_interval" + "_without_data_ms")
