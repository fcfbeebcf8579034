"""Journals: files of JSON lines that only grow, one line for each finished piece of work."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zfscope.errors import InputError
from zfscope.files import writing


class Journal:
    """A file of JSON objects, one per line; the line that a killed process was writing is dropped."""

    def __init__(self, path: Path) -> None:
        """Open or create a journal. Raises CannotWrite."""
        self._path = path
        with writing(path), path.open("a+b") as file:
            file.seek(0)
            file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Yield all entries. Raises InputError for a damaged file."""
        with self._path.open("rb") as file:
            for line in file:
                try:
                    yield json.loads(line)
                except ValueError as error:
                    message = f"'{self._path}' is damaged; remove its folder to start again"
                    raise InputError(message, field="out") from error

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add an entry. Raises CannotWrite."""
        with writing(self._path), self._path.open("ab") as file:
            file.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
