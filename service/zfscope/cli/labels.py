"""The names of classes, from a file."""

from pathlib import Path

from zfscope.errors import InputError


def read_labels(path: Path) -> dict[str, str]:
    """Read names of classes, a line each: the folder, a space, the name. Raises InputError."""
    try:
        lines = [
            line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"labels '{path}' cannot be read: {error}", field="labels") from error
    wrong = next((line for line in lines if len(line) < 2), None)
    if wrong:
        raise InputError(
            f"labels '{path}': '{wrong[0]}' has no name; a line is: n01440764 tench", field="labels"
        )
    return {folder: name.strip() for folder, name in lines}
