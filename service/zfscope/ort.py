"""Importing ONNX Runtime."""

import os
from typing import Any


def import_onnxruntime() -> Any:
    """Import ONNX Runtime, which has no type annotations, without telemetry. Raises ImportError."""
    # Telemetry would store an identifier of the machine in the user's cache, and may report usage.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
