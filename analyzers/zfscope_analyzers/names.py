"""Parameters that are lists of names or numbers."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

Names = TypeVar("Names", bound=Sequence[object])


def distinct(names: Names) -> Names:
    """Give the names back; for validators. Raises ValueError where one of them is there twice."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"'{name}' is named more than once")
    return names
