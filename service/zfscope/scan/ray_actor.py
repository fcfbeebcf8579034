"""What runs on the machines of a Ray cluster: an actor with a model of its own."""

import os
import socket
from collections.abc import Mapping, Sequence
from functools import reduce
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import ray

from zfscope.datasets.dataset import NOT_THERE
from zfscope.errors import RuntimeUnavailable
from zfscope.scan.batches import ScanBatch
from zfscope.scan.engine import ScanFunction
from zfscope.scan.partial import PartialResult, merge

_SOFTWARE = ("zfscope", "numpy", "pillow", "onnxruntime", "onnxruntime-gpu")
"""What decides the last bits of an activation."""


class ShardResult(NamedTuple):
    """What was found in a shard.

    unseen: files that were listed and could not be opened on the machine of that name.
    """

    part: PartialResult
    unseen: tuple[Path, ...]
    machine: str


class ScanActor:
    """An actor: it takes its work once, and scans shards with it."""

    _work: ScanFunction

    def start(self, software: Mapping[str, str], work: Sequence[Any]) -> None:
        """Fetch the work. software: what the caller has.

        work: the reference alone; given by itself, Ray would open it before the software is compared.
        Raises RuntimeUnavailable where other software is installed here.
        """
        _check_software(software)
        (self._work,) = ray.get(list(work))

    def scan(self, batches: Sequence[ScanBatch]) -> ShardResult:
        """Scan batches, and merge what was found in them."""
        part = reduce(merge, map(self._work, batches))
        photos = {photo.number: photo for batch in batches for photo in batch.photos}
        skipped = [photos[number] for number, _ in part.skipped]
        unseen = [
            photo.file for photo in skipped if photo.size != NOT_THERE and not os.access(photo.file, os.R_OK)
        ]
        return ShardResult(part, tuple(unseen), socket.gethostname())


def installed() -> dict[str, str]:
    """Give the versions of what decides the last bits of an activation."""
    return {name.removesuffix("-gpu"): found for name in _SOFTWARE if (found := _version(name))}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _check_software(wanted: Mapping[str, str]) -> None:
    here = installed()
    if here == wanted:
        return
    differs = [
        f"{name} {here.get(name, 'missing')} (not {wanted.get(name, 'installed')})"
        for name in {**wanted, **here}
        if here.get(name) != wanted.get(name)
    ]
    raise RuntimeUnavailable(
        f"machine '{socket.gethostname()}' of the Ray cluster has {', '.join(differs)}: install the same "
        "there as here"
    )
