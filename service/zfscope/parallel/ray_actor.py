"""The Ray actor that processes batches on a machine of the cluster."""

import os
import socket
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Generic, NamedTuple

import ray

from zfscope.datasets.dataset import MISSING
from zfscope.errors import RuntimeUnavailable
from zfscope.parallel.batches import Batch, Result, Work

# Packages whose version can change the last bits of a number, or the pixels of a picture.
_SOFTWARE = (
    "zfscope",
    "matplotlib",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "pillow",
    "scikit-image",
    "scipy",
    "torch",
)


class ShardResult(NamedTuple, Generic[Result]):
    """The result of a shard (some batches).

    unreadable: listed files that could not be opened on the machine. machine: host name.
    """

    part: Result
    unreadable: tuple[Path, ...]
    machine: str


class BatchActor:
    """A Ray actor that receives its function once and applies it to shards."""

    _work: Work[Any]

    def start(self, software: Mapping[str, str], work: Sequence[Any]) -> None:
        """Check the installed software and fetch the function.

        software: versions installed at the caller. work: list with the object reference; Ray would resolve a
        bare reference, and so unpickle it, before the versions are compared. Raises RuntimeUnavailable if
        other versions are installed here.
        """
        _check_software(software)
        (self._work,) = ray.get(list(work))

    def process(self, batches: Sequence[Batch]) -> ShardResult[Any]:
        """Process batches and merge their results."""
        part, *others = map(self._work, batches)
        for other in others:
            part = part.merge(other)
        photos = {photo.number: photo for batch in batches for photo in batch.photos}
        skipped = [photos[number] for number, _ in part.skipped]
        unreadable = [
            photo.file for photo in skipped if photo.size != MISSING and not os.access(photo.file, os.R_OK)
        ]
        return ShardResult(part, tuple(unreadable), socket.gethostname())


def installed_versions() -> dict[str, str]:
    """Return the installed versions of packages that can change results."""
    return {name.removesuffix("-gpu"): installed for name in _SOFTWARE if (installed := _version(name))}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _check_software(expected: Mapping[str, str]) -> None:
    actual = installed_versions()
    if actual == expected:
        return
    differing = [
        f"{name} {actual.get(name, 'missing')} (not {expected.get(name, 'installed')})"
        for name in {**expected, **actual}
        if actual.get(name) != expected.get(name)
    ]
    raise RuntimeUnavailable(
        f"machine '{socket.gethostname()}' of the Ray cluster has {', '.join(differing)}; install the same "
        "versions there as here"
    )
