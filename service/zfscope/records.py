"""Records of an index: the strongest photos of each map, and their current state."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

# Maximum number of records per map in one analysis (the paper shows the top 9), and of maps in an evolution.
MAX_RECORDS = 9
MAX_EVOLVED_MAPS = 32


@dataclass(frozen=True)
class Record:
    """One of the strongest photos of a map.

    rank: 0 is the strongest. score: ranking criterion, the value or the sum of the map. value: the map's
    largest activation, at row y and column x. image: index of the photo. path: relative to the root of the
    data. label: class of the photo, empty if unlabelled. blake2b: digest of the file.
    """

    layer: str
    map: int
    rank: int
    score: float
    value: float
    image: int
    path: str
    label: str
    y: int
    x: int
    blake2b: str


class RecordState(StrEnum):
    """State of a record after reloading its photo; `meaning` describes it.

    `silent`: a recorded photo whose activation is zero, negative or below rounding error, because fewer
    photos activate the map than it has records. `dead`: a map that no photo activates.
    """

    meaning: str

    OK = "ok", "the activation matches the record"
    DIFFERS = "differs", "the activation differs from the record"
    CHANGED = "changed", "the file has changed since it was indexed"
    GONE = "gone", "the file does not exist or cannot be read"
    SILENT = "silent", "the photo does not activate the map"
    DEAD = "dead", "no photo activates the map"

    def __new__(cls, value: str, meaning: str = "") -> Self:
        """Create a state with its description."""
        state = str.__new__(cls, value)
        state._value_, state.meaning = value, meaning
        return state

    @property
    def lost(self) -> bool:
        """Whether the photo no longer matches the record, which is reported as a warning."""
        return self in (RecordState.DIFFERS, RecordState.CHANGED, RecordState.GONE)

    @property
    def has_view(self) -> bool:
        """Whether the record has a projection and a patch."""
        return self in (RecordState.OK, RecordState.DIFFERS)
