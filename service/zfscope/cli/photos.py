"""Photos as a command line names them: files, folders, and `-` for standard input."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote

import typer

from zfscope.cli.output import print_json
from zfscope.cli.photos_used import passed_over_in_words
from zfscope.cli.reading import read_file, read_standard_input
from zfscope.cli.streams import echo, one_line
from zfscope.errors import InputError

ERROR_EXIT = 2
STDIN = Path("-")
_FILE_URL = re.compile(r"^file:/+(localhost/+)?", re.IGNORECASE)
_URL = re.compile(r"^(?!file:)([a-zA-Z][a-zA-Z0-9+.-]+):/+(?=[^/])")


def read_photo(path: Path) -> bytes:
    """Read an image file, or standard input for `-`.

    Raises InputError where there is no such file, for a URL, which nothing here fetches, for a named pipe,
    and where standard input is closed or empty, and TooLarge for more bytes than an image file may have.
    """
    if path == STDIN:
        return read_standard_input()
    if (found := _FILE_URL.match(str(path))) and not path.exists():
        name = "/" + str(path)[found.end() :]
        message = f"'file://{name}' is a URL, and photos are read from files; name the file: {unquote(name)}"
        raise InputError(message, field="photo")
    if found := _URL.match(str(path)):
        url = _URL.sub(f"{found[1]}://", str(path))  # a path has lost the second slash
        message = f"'{url}' is a URL, and photos are read from files; fetch it: curl -sSL URL | zfscope ... -"
        raise InputError(message, field="photo")
    try:
        return read_file(path)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}", field="photo") from error


def is_single(named: Sequence[Path]) -> bool:
    """Return whether one photo was named, and no folder of them."""
    return len(named) == 1 and not named[0].is_dir()


def listed(named: Sequence[Path]) -> list[Path]:
    """Return photos as they are named, and all photos of folders; what these hold besides is printed.

    Raises InputError for a folder without photos, and where standard input is named more than once.
    """
    found: list[Path] = []
    for path in named:
        found += _photos_of(path) if path.is_dir() else [path]
    if found.count(STDIN) > 1:
        raise InputError("- is named more than once; standard input has one image", field="photo")
    return found


def _photos_of(folder: Path) -> list[Path]:
    """Return the photos of a folder; what is passed over is printed on stderr."""
    from zfscope.datasets import open_data

    data = open_data(folder)
    if data.passed_over:
        echo(one_line(f"zfscope: {folder}: {passed_over_in_words(data.passed_over)}"), err=True)
    return [folder / name for name in data.names]


def print_failed(path: Path, reason: str) -> None:
    """Print the JSON object of a photo that cannot be used."""
    print_json({"file": str(path), "error": reason})


def for_each(
    photos: Sequence[Path],
    work: Callable[[Path, bytes], None],
    *,
    failed: Callable[[Path, str], None] | None = None,
) -> None:
    """Run `work` with each photo; one that cannot be used ends with a line on stderr, and not the others.

    failed: called with such a photo and the reason. Exits with code 2 in the end if there was one.
    """
    faults = 0
    for path in photos:
        try:
            work(path, read_photo(path))
        except InputError as error:
            if not error.field.startswith(("photo", "image")):
                raise
            faults += 1
            echo(one_line(f"zfscope: {path}: {error}"), err=True)
            if failed:
                failed(path, str(error))
    if faults:
        raise typer.Exit(ERROR_EXIT)
