"""Photos as a command line names them: files, folders, and `-` for standard input; and which were used."""

import re
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote

import typer

from zfscope.cli.output import print_json
from zfscope.cli.streams import echo, one_line
from zfscope.errors import InputError, TooLarge

if TYPE_CHECKING:
    from zfscope.datasets import PassedOver
    from zfscope.datasets.read import Skipped

ERROR_EXIT = 2
STDIN = Path("-")
# Maximum number of unusable photos that a sentence names.
_NAMED = 3
# The pipes of a shell's `<(command)`, whose writer it has started.
_OF_THE_SHELL = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/(self|\d+)/fd/\d+")
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


def read_file(path: Path) -> bytes:
    """Read a file whole.

    Raises OSError, InputError for a named pipe, and TooLarge for more bytes than an image may have.
    """
    if stat.S_ISFIFO(path.stat().st_mode) and not _OF_THE_SHELL.fullmatch(str(path)):
        message = f"'{path}' is a named pipe, which is not read; pass an image file, or - for standard input"
        raise InputError(message, field="photo")
    with path.open("rb", buffering=0) as file:
        return _read(file, f"'{path}'")


def read_standard_input() -> bytes:
    """Read one image from standard input. Raises InputError where it is closed or empty, and TooLarge."""
    if sys.stdin is None:
        raise InputError("standard input is closed; - reads one image file from it", field="photo")
    data = _read(sys.stdin.buffer, "standard input")
    if not data:
        raise InputError("standard input is empty; - reads one image file from it", field="photo")
    return data


def _read(file: BinaryIO, what: str) -> bytes:
    from zfscope.images.limits import environment_limits

    most = environment_limits().bytes
    parts, left = [], most + 1
    while left and (part := file.read(min(left, 2**20))):
        parts.append(part)
        left -= len(part)
    if not left:
        message = f"{what} is longer than {most:,} bytes, the most of an image (ZFSCOPE_MAX_IMAGE_BYTES)"
        raise TooLarge(message, field="photo")
    return b"".join(parts)


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


def for_each(photos: Sequence[Path], work: Callable[[Path, bytes], None], *, as_json: bool) -> None:
    """Run `work` with each photo; one that cannot be used ends with a line on stderr, and not the others.

    as_json: whether to print an object for such a photo too. Exits with code 2 in the end if there was one.
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
            if as_json:
                print_json({"file": str(path), "error": str(error)})
    if faults:
        raise typer.Exit(ERROR_EXIT)


def passed_over_json(passed_over: "Iterable[PassedOver]") -> dict[str, int]:
    """Return how many files of each kind were passed over."""
    return {passed.kind: passed.count for passed in passed_over}


@dataclass(frozen=True)
class PhotosUsed:
    """The photos of a data set that a command used, those that it could not use, and what it passed over."""

    images: int
    skipped: "Sequence[Skipped]"
    passed_over: "Sequence[PassedOver]"

    def as_object(self) -> dict[str, Any]:
        """Return the counts that every command with a data set prints as JSON, and the skipped photos."""
        return {
            "images": self.images,
            "skipped": len(self.skipped),
            "skipped_photos": [{"path": photo.name, "reason": photo.reason} for photo in self.skipped],
            "passed_over": passed_over_json(self.passed_over),
        }

    def __str__(self) -> str:
        return sentence(self.images, _in_words(self.skipped), self.passed_over)


def sentence(images: int, skipped: str, passed_over: "Sequence[PassedOver]") -> str:
    """Return how many photos were used, without a full stop. skipped: those that could not be, in words."""
    parts = [f"{images:,} photo{'' if images == 1 else 's'}"]
    if skipped:
        parts.append(skipped)
    if passed_over:
        parts.append(passed_over_in_words(passed_over))
    return "; ".join(parts)


def passed_over_in_words(passed_over: "Iterable[PassedOver]") -> str:
    """Return what was passed over, by kind."""
    from zfscope.datasets.passed_over import in_words

    return f"passed over: {in_words(passed_over)}"


def _in_words(skipped: "Sequence[Skipped]") -> str:
    """Return which photos could not be used, empty where all could be."""
    if not skipped:
        return ""
    from zfscope.datasets.names import quoted

    named = "; ".join(f"{quoted(photo.name)}: {photo.reason}" for photo in skipped[:_NAMED])
    more = f"; and {len(skipped) - _NAMED:,} more" if len(skipped) > _NAMED else ""
    return f"{len(skipped):,} could not be used ({named}{more})"
