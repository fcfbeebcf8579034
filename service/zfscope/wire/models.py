"""References to models in messages."""

from typing import Any

from zfscope.v1 import analysis_pb2


def version_of(message: Any) -> int | None:
    """Return the version set in a request or `ModelRef`; None (the newest) if unset."""
    return message.version if message.HasField("version") else None


def reference_of(model: analysis_pb2.ModelRef) -> str:
    """Return NAME or NAME:VERSION."""
    version = version_of(model)
    return model.name if version is None else f"{model.name}:{version}"
