"""Batches of photos, and what an engine needs to know about their results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self, TypeVar

from zfscope.datasets import Photo


@dataclass(frozen=True)
class Batch:
    """Some photos of a data set that are processed together. number: its index among all batches."""

    number: int
    photos: tuple[Photo, ...]


class UnusedPhoto(NamedTuple):
    """The number of a photo that could not be used, and the reason."""

    photo: int
    reason: str


class BatchResult(Protocol):
    """Result of one batch, or of several batches merged in any order."""

    @property
    def skipped(self) -> Sequence[UnusedPhoto]:
        """Photos that could not be used."""
        ...

    def merge(self, other: Self) -> Self:
        """Return the result of the batches of both."""
        ...


Result = TypeVar("Result", bound=BatchResult)
# Processes one batch; it may run in any thread or process.
Work = Callable[[Batch], Result]
