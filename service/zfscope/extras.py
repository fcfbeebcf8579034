"""Modules that require the extra `engine`, and the error raised without it."""

from collections.abc import Iterator
from contextlib import contextmanager

from zfscope.errors import MissingExtra

# Modules installed by the extra `engine` of pyproject.toml.
ENGINE_MODULES = frozenset(
    {
        "grpc_channelz",
        "grpc_reflection",
        "jinja2",
        "matplotlib",
        "onnx",
        "opentelemetry",
        "platformdirs",
        "prometheus_client",
        "pyarrow",
        "safetensors",
        "scipy",
        "skimage",
        "structlog",
        "torch",
    }
)


@contextmanager
def engine_needed() -> Iterator[None]:
    """Raise MissingExtra, naming the extra to install, if one of its modules is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ENGINE_MODULES:
            raise
        raise MissingExtra("this needs zfscope[cpu]: pip install 'zfscope[cpu]'") from error
