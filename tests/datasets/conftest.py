"""Files of small data sets."""

import io
import tarfile
from pathlib import Path

from PIL import Image

from zfscope.datasets import DataSet


def encoded(image_format: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(file, image_format)
    return file.getvalue()


JPEG, PNG = encoded("JPEG"), encoded("PNG")
JPEG_XL = b"\0\0\0\x0cJXL \r\n\x87\n"


def write_files(root: Path, **files: bytes) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def write_names(root: Path, *names: str) -> Path:
    """Write files whose contents are their names: photos by their suffix alone."""
    return write_files(root, **{name: name.encode() for name in names})


def pack(tar: Path, root: Path, *names: str) -> Path:
    """Pack members of a folder; `.` packs all of it."""
    with tarfile.open(tar, "w") as packed:
        for name in names:
            packed.add(root / name, name)
    return tar


def pack_if_tar(kind: str, root: Path, name: str = ".") -> Path:
    """Return the folder; for kind `tar`, a tar that contains the folder as `name`."""
    if kind == "folder":
        return root
    tar = root.with_suffix(".tar")
    with tarfile.open(tar, "w") as packed:
        packed.add(root, name)
    return tar


def names_and_labels(data: DataSet) -> list[tuple[str, str]]:
    return list(zip(data.names, data.labels, strict=True))


def read_bytes(data: DataSet, number: int) -> bytes:
    photo = data.photo(number)
    with photo.file.open("rb") as file:
        file.seek(photo.offset)
        return file.read(photo.size)


def counts_by_kind(data: DataSet) -> dict[str, int]:
    return {files.kind: files.count for files in data.skipped_files}
