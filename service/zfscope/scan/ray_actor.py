"""The Ray actor that scans batches on a machine of the cluster."""

import os
import socket
from collections.abc import Mapping, Sequence
from functools import reduce
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import ray

from zfscope.datasets.dataset import MISSING
from zfscope.errors import RuntimeUnavailable
from zfscope.scan.batches import ScanBatch
from zfscope.scan.engine import ScanFunction
from zfscope.scan.partial import PartialResult, merge

# Packages whose version can change the last bits of an activation.
_SOFTWARE = ("zfscope", "numpy", "pillow", "onnxruntime", "onnxruntime-gpu")


class ShardResult(NamedTuple):
    """The result of a shard (some batches).

    unreadable: listed files that could not be opened on the machine. machine: host name.
    """

    part: PartialResult
    unreadable: tuple[Path, ...]
    machine: str


class ScanActor:
    """A Ray actor that receives its scan function once and applies it to shards."""

    _work: ScanFunction

    def start(self, software: Mapping[str, str], work: Sequence[Any]) -> None:
        """Check the installed software and fetch the scan function.

        software: versions installed at the caller. work: list with the object reference; Ray would resolve a
        bare reference, and so unpickle it, before the versions are compared. Raises RuntimeUnavailable if
        other versions are installed here.
        """
        _check_software(software)
        (self._work,) = ray.get(list(work))

    def scan(self, batches: Sequence[ScanBatch]) -> ShardResult:
        """Scan batches and merge their results."""
        part = reduce(merge, map(self._work, batches))
        photos = {photo.number: photo for batch in batches for photo in batch.photos}
        skipped = [photos[number] for number, _ in part.skipped]
        unreadable = [
            photo.file for photo in skipped if photo.size != MISSING and not os.access(photo.file, os.R_OK)
        ]
        return ShardResult(part, tuple(unreadable), socket.gethostname())


def installed_versions() -> dict[str, str]:
    """Return the installed versions of packages that can change the last bits of an activation."""
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
