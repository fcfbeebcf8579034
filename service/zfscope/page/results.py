"""Answers as JSON: members have the names of the dataclasses; pictures and tensors become links.

Two names differ, as they do in the JSON of the command line: `photo_size` becomes `photo`, with width and
height, and the `label_id` of a class score becomes `id`.
"""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from hashlib import sha256
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zfscope.answers import Analyzed, AnalyzerInfo, ClassScore
from zfscope.page.memory import BoundedMemory
from zfscope.results import Picture, Table

# Whether to return pictures as links, inline as base64, or not at all.
Pictures = Literal[True, False, "inline"]
# Fields with another name in JSON, by class; None: any class.
_NAMES: Mapping[tuple[type | None, str], str] = {
    (None, "photo_size"): "photo",
    (ClassScore, "label_id"): "id",
}


@dataclass(frozen=True)
class File:
    """A picture or tensor kept for its link."""

    data: bytes
    media_type: str


Files = BoundedMemory[File]


@dataclass(frozen=True)
class JsonEncoder:
    """Converter of answers to JSON. files: keeps pictures and tensors. inline: pictures as base64."""

    files: Files
    inline: bool = False

    def encode(self, value: Any) -> Any:
        """Return a value as JSON."""
        if isinstance(value, Picture):
            return self._picture(value)
        if isinstance(value, np.ndarray):
            return self._tensor(value)
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, Mapping):
            return {str(key): self.encode(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.encode(item) for item in value]
        if is_dataclass(value):
            return self._record(value)
        return value

    def _record(self, value: Any) -> Any:
        if isinstance(value, Table):
            return value.records()
        if isinstance(value, Analyzed):
            analysis = self.encode(value.analysis)
            return {"model": value.model, "version": value.version, **analysis}
        record = {field.name: getattr(value, field.name) for field in fields(value)}
        if isinstance(value, AnalyzerInfo):
            record = {**record, "photos": value.photos}
            del record["min_images"], record["max_images"]
        return dict(self._member(type(value), name, item) for name, item in record.items())

    def _member(self, kind: type, name: str, value: Any) -> tuple[str, Any]:
        if name == "photo_size":
            height, width = value
            value = {"width": width, "height": height}
        return json_name(kind, name), self.encode(value)

    def _picture(self, picture: Picture) -> dict[str, Any]:
        described = {"name": picture.name, "scale": picture.scale}
        if self.inline:
            return {**described, "base64": base64.b64encode(picture.png).decode()}
        return {**described, "url": self._keep(picture.png, "pictures", "png", "image/png")}

    def _tensor(self, tensor: NDArray[Any]) -> dict[str, Any]:
        file = io.BytesIO()
        np.save(file, tensor, allow_pickle=False)
        url = self._keep(file.getvalue(), "tensors", "npy", "application/octet-stream")
        return {"dtype": str(tensor.dtype), "shape": list(tensor.shape), "url": url}

    def _keep(self, data: bytes, folder: str, suffix: str, media_type: str) -> str:
        name = f"{sha256(data).hexdigest()[:40]}.{suffix}"
        self.files.put(f"{folder}/{name}", File(data, media_type), len(data))
        return f"v1/{folder}/{name}"


def json_name(kind: type, field: str) -> str:
    """Return the name in JSON of a field of a class."""
    return _NAMES.get((kind, field), _NAMES.get((None, field), field))
