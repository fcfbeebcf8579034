"""Engines by name: what users choose from."""

from zfscope.errors import InputError, RuntimeUnavailable
from zfscope.scan.engine import Engine, local

ENGINES = ("local", "ray")
"""The names of the engines, the default first."""


def create_engine(kind: str, *, address: str = "") -> Engine:
    """Give an engine. address: of a Ray cluster; RayEngine says what none means.

    Raises RuntimeUnavailable for an engine that is not there or not installed, InputError for an address
    that is of no use.
    """
    if kind == "ray":
        return _ray(address)
    if kind not in ENGINES:
        raise RuntimeUnavailable(f"no engine '{kind}'; there are {', '.join(ENGINES)}", field="engine")
    if address:
        raise InputError(f"engine '{kind}' takes no address; 'ray' does", field="address")
    return local


def _ray(address: str) -> Engine:
    try:
        from zfscope.scan.ray_engine import RayEngine
    except ImportError as error:
        raise RuntimeUnavailable(
            "engine 'ray' needs Ray: pip install 'zfscope[ray]'", field="engine"
        ) from error
    return RayEngine(address)
