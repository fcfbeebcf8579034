"""What is imported only with the extra `engine`, and the error where it is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from zfscope.errors import MissingExtra

# The modules that the extra `engine` of pyproject.toml brings.
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
    """Raise MissingExtra, with what to install, where a module of the extra is not found."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ENGINE_MODULES:
            raise
        raise MissingExtra("this needs zfscope[cpu]: pip install 'zfscope[cpu]'") from error
