"""Indexes of test models, built with the torch runtime, or ONNX Runtime for opaque networks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zfscope.runtimes import create_runtime
from zfscope.scan import Index, build_index, indexes_folder, open_data, plan_scan
from zfscope.store import Model


def index_photos(model: Model, photos: Path, name: str, layers: Sequence[str], **options: Any) -> Index:
    """Build an index in the index folder of a model. options: passed to `plan_scan`."""
    runtime = create_runtime("onnx" if model.is_opaque else "torch", model)
    plan, target = plan_scan(model.spec, layers, **options), indexes_folder(model) / name
    return build_index(model, open_data(photos), plan, target, runtime=runtime)
