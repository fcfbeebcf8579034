"""What a request calls a model: one of the store, or MODEL/ANALYZER, an analyzer that looks into it."""

import re
from dataclasses import dataclass

from zfscope.errors import InputError

_VERSION = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Target:
    """A model, and the analyzer that is meant, empty for the model itself. version: None means the newest."""

    model: str
    version: int | None
    analyzer: str

    def title(self, model: str) -> str:
        """Write it as it is called, `model` being the name that the store has."""
        return f"{model}/{self.analyzer}" if self.analyzer else model


def target_of(name: str, version: str, *, field: str) -> Target:
    """Read a name and a version of a request: no name means the default model, no version the newest.

    field: that of the version, for messages. Raises InputError for a version that is no number.
    """
    if version and not _VERSION.fullmatch(version):
        raise InputError(f"'{version:.80}' is no version; it is a whole number of 1 or more", field=field)
    model, _, analyzer = name.partition("/")
    return Target(model, int(version) if version else None, analyzer)
