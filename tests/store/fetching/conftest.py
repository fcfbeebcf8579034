"""Package archives in a folder, for a pip that does not access an index."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from zfscope.store.fetching.packages import Package
from zfscope.store.integrity import sha256

Publish = Callable[..., Package]


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Make a wheel of some files, and restrict pip to such wheels."""
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))

    def make(name: str, files: Mapping[str, bytes]) -> Package:
        info = f"{name}-1.0.dist-info"
        contents = {
            **files,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
        file = f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(index / file, "w") as wheel:
            for path, data in contents.items():
                wheel.writestr(path, data)
        return Package(name, "1.0", file, sha256((index / file).read_bytes()))

    return make
