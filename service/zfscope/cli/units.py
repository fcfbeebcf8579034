"""Units as people type them: `map`, or `map:row:column`."""

import re

from zfscope.answers import Unit
from zfscope.errors import InputError

_UNIT = re.compile(r"(\d{1,9})(?::(\d{1,9}):(\d{1,9}))?")


def parse_unit(text: str) -> Unit:
    """Read `12` (the strongest unit of map 12) or `12:3:4` (row 3, column 4). Raises InputError."""
    found = _UNIT.fullmatch(text)
    if not found:
        message = f"no unit '{text}'; allowed are MAP (its strongest unit) and MAP:Y:X, such as 12 or 12:3:4"
        raise InputError(message, field="unit")
    number, y, x = found.groups()
    return Unit(int(number)) if y is None else Unit(int(number), int(y), int(x))
