"""Photos on the command line (files, folders, `-` for standard input) and counts of the photos used."""

import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote

import typer

from zfscope.cli.output import print_json
from zfscope.cli.streams import echo
from zfscope.errors import InputError, TooLarge
from zfscope.text import one_line

if TYPE_CHECKING:
    from zfscope.datasets import SkippedFiles
    from zfscope.datasets.read import SkippedPhoto

ERROR_EXIT = 2
STDIN = Path("-")
# Maximum number of unusable photos named in a message.
_MAX_NAMED = 3
# Pipes of a shell's `<(command)`: unlike other named pipes, they have a writer.
_SHELL_PIPE = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/(self|\d+)/fd/\d+")
_IMAGE_FIELD = re.compile(r"images\[(\d+)\]")
_FILE_URL = re.compile(r"^file:/+(localhost/+)?", re.IGNORECASE)
_URL = re.compile(r"^(?!file:)([a-zA-Z][a-zA-Z0-9+.-]+):/+(?=[^/])")


def read_photo(path: Path) -> bytes:
    """Read an image file, or standard input for `-`.

    Raises InputError if the file is missing, a URL (none is fetched) or a named pipe, or if standard input is
    closed or empty; TooLarge if the data exceeds the limit for an image file.
    """
    if path == STDIN:
        return read_standard_input()
    if (match := _FILE_URL.match(str(path))) and not path.exists():
        name = "/" + str(path)[match.end() :]
        message = f"'file://{name}' is a URL; photos must be files: pass {unquote(name)}"
        raise InputError(message, field="photo")
    if match := _URL.match(str(path)):
        url = _URL.sub(f"{match[1]}://", str(path))  # Path has collapsed the double slash
        message = f"'{url}' is a URL; photos must be files: use curl -sSL URL | zfscope ... -"
        raise InputError(message, field="photo")
    try:
        return read_file(path)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}", field="photo") from error


def read_file(path: Path) -> bytes:
    """Read a whole file.

    Raises OSError, InputError for a named pipe, and TooLarge if it exceeds the limit for an image file.
    """
    if stat.S_ISFIFO(path.stat().st_mode) and not _SHELL_PIPE.fullmatch(str(path)):
        message = f"'{path}' is a named pipe; pass an image file, or - for standard input"
        raise InputError(message, field="photo")
    with path.open("rb", buffering=0) as file:
        return _read(file, f"'{path}'")


def read_standard_input() -> bytes:
    """Read one image from standard input. Raises InputError if it is closed or empty, and TooLarge."""
    if sys.stdin is None:
        raise InputError("standard input is closed; - reads one image file from it", field="photo")
    data = _read(sys.stdin.buffer, "standard input")
    if not data:
        raise InputError("standard input is empty; - reads one image file from it", field="photo")
    return data


def _read(file: BinaryIO, name: str) -> bytes:
    from zfscope.images.limits import environment_limits

    limit = environment_limits().bytes
    parts, left = [], limit + 1
    while left and (part := file.read(min(left, 2**20))):
        parts.append(part)
        left -= len(part)
    if not left:
        message = f"{name} is larger than {limit:,} bytes, the limit set by ZFSCOPE_MAX_IMAGE_BYTES"
        raise TooLarge(message, field="photo")
    return b"".join(parts)


def is_single_photo(paths: Sequence[Path]) -> bool:
    """Return whether the paths are exactly one photo that is not a folder."""
    return len(paths) == 1 and not paths[0].is_dir()


def expand_photos(paths: Sequence[Path]) -> list[Path]:
    """Replace folders by their photos; report the other files in them on stderr.

    Raises InputError for a folder without photos, and if standard input is named more than once.
    """
    photos: list[Path] = []
    for path in paths:
        photos += _list_folder(path) if path.is_dir() else [path]
    if photos.count(STDIN) > 1:
        raise InputError("- is given more than once; standard input holds one image", field="photo")
    return photos


def _list_folder(folder: Path) -> list[Path]:
    """Return the photos in a folder; report other files on stderr."""
    from zfscope.datasets import open_data

    data = open_data(folder)
    if data.skipped_files:
        echo(one_line(f"zfscope: {folder}: {skipped_files_text(data.skipped_files)}"), err=True)
    return [folder / name for name in data.names]


def process_photos(photos: Sequence[Path], work: Callable[[Path, bytes], None], *, as_json: bool) -> None:
    """Call `work` with each photo; report an unusable photo on stderr and continue with the next.

    Exits with code 2 after the last photo if any was unusable. as_json: whether to print a JSON object for
    unusable photos, too.
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


@contextmanager
def naming_photos(paths: Sequence[Path]) -> Iterator[None]:
    """Name the file in the message of an error about one of several photos of a call, `images[N]`."""
    try:
        yield
    except InputError as error:
        match = _IMAGE_FIELD.match(error.field)
        if match and len(paths) > 1:
            raise type(error)(f"{paths[int(match[1])]}: {error}", field=error.field) from error
        raise


def skipped_files_json(skipped_files: "Iterable[SkippedFiles]") -> dict[str, int]:
    """Return the number of skipped files of each kind."""
    return {passed.kind: passed.count for passed in skipped_files}


@dataclass(frozen=True)
class PhotosUsed:
    """Photos used from a data set, unusable photos, and files that are not photos."""

    images: int
    skipped: "Sequence[SkippedPhoto]"
    skipped_files: "Sequence[SkippedFiles]"

    def as_object(self) -> dict[str, Any]:
        """Return the counts and the skipped photos as a JSON object, the same for every command."""
        return {
            "images": self.images,
            "skipped": len(self.skipped),
            "skipped_photos": [{"path": photo.name, "reason": photo.reason} for photo in self.skipped],
            "passed_over": skipped_files_json(self.skipped_files),
        }

    def __str__(self) -> str:
        return sentence(self.images, _skipped_photos_text(self.skipped), self.skipped_files)


def sentence(images: int, skipped: str, skipped_files: "Sequence[SkippedFiles]") -> str:
    """Return a sentence on the photos used, without the full stop. skipped: text on unusable photos."""
    parts = [f"{images:,} photo{'' if images == 1 else 's'}"]
    if skipped:
        parts.append(skipped)
    if skipped_files:
        parts.append(skipped_files_text(skipped_files))
    return "; ".join(parts)


def skipped_files_text(skipped_files: "Iterable[SkippedFiles]") -> str:
    """Return a text on the skipped files, by kind."""
    from zfscope.datasets.skipped_files import describe_skipped

    return f"skipped: {describe_skipped(skipped_files)}"


def _skipped_photos_text(skipped: "Sequence[SkippedPhoto]") -> str:
    """Return a text on the unusable photos, empty if there are none."""
    if not skipped:
        return ""
    from zfscope.datasets.names import quoted

    named = "; ".join(f"{quoted(photo.name)}: {photo.reason}" for photo in skipped[:_MAX_NAMED])
    more = f"; and {len(skipped) - _MAX_NAMED:,} more" if len(skipped) > _MAX_NAMED else ""
    return f"{len(skipped):,} could not be used ({named}{more})"
