"""Records of an index: the photos that activate maps most, and what became of them since."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

# Records of a map that one analysis shows at most: the paper's top 9; and maps that one follows over epochs.
MOST_RECORDS = 9
MOST_EVOLVED_MAPS = 32


@dataclass(frozen=True)
class Record:
    """A photo among the strongest of a map.

    rank: 0 is the strongest. score: what ranks it, the value or the sum of the map. value: the map's
    largest activation, of the unit at row y and column x. image: the photo's number. path: where it is
    below the data's root. label: its class, empty where it has none. blake2b: of its file.
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
    """What became of a record, found by reading its photo again; `meaning` says it in words.

    `silent` is a photo that is among the strongest with an activation of 0 or less, or of rounding alone:
    fewer photos activate the map than it has records. `dead` is a map without any.
    """

    meaning: str

    OK = "ok", "the photo gives the recorded activation"
    DIFFERS = "differs", "the photo does not give the recorded activation"
    CHANGED = "changed", "the file is not the one that was indexed"
    GONE = "gone", "there is no such file, or none that can be read"
    SILENT = "silent", "the photo does not activate the map"
    DEAD = "dead", "no photo activates the map"

    def __new__(cls, word: str, meaning: str = "") -> Self:
        """Make a word that has a meaning."""
        state = str.__new__(cls, word)
        state._value_, state.meaning = word, meaning
        return state

    @property
    def lost(self) -> bool:
        """Whether the photo is not as it was recorded, which readers are warned of."""
        return self in (RecordState.DIFFERS, RecordState.CHANGED, RecordState.GONE)

    @property
    def seen(self) -> bool:
        """Whether the record has a projection and a patch."""
        return self in (RecordState.OK, RecordState.DIFFERS)
