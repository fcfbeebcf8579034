"""The models that messages name."""

from typing import Any

from zfscope.v1 import analysis_pb2


def version_of(message: Any) -> int | None:
    """Return the version that a request or a `ModelRef` states; None, the newest, where it states none."""
    return message.version if message.HasField("version") else None


def title_of(model: analysis_pb2.ModelRef) -> str:
    """Return NAME or NAME:VERSION."""
    version = version_of(model)
    return model.name if version is None else f"{model.name}:{version}"
