"""A store with a tiny model that has the layers used by the examples, and fresh environments for packages.

A fresh environment sees the packages of the one that runs the tests, including zfscope. An example is
installed from a copy of its folder: nothing is downloaded, and nothing is left in the checkout.
"""

import os
import shlex
import shutil
import subprocess
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from zfscope.images.preprocess import Preprocessing
from zfscope.networks import NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, ReLU
from zfscope.networks.windows import Padding
from zfscope.store import Label, Manifest, Provenance, write_model

CHECKOUT = Path(__file__).parents[2]
ZFSCOPE = Path(sysconfig.get_path("scripts")) / "zfscope"
# Runs Python with arguments (and in a folder, `cwd`), and returns what it prints.
Run = Callable[..., str]
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")


@pytest.fixture(scope="session")
def write_store() -> Callable[..., Path]:
    """Writes a store with a model, which has five convolutions, and returns its folder."""
    return write_tiny


def write_tiny(store: Path, *, name: str = "tiny", last: str = "conv5") -> Path:
    convolutions = [
        layer
        for conv in (*LAYERS[:-1], last)
        for layer in (
            Conv(name=conv, channels=9, kernel=3, padding=Padding(1, 1, 1, 1)),
            ReLU(name=conv.replace("conv", "relu") if conv in LAYERS else f"{conv}-relu"),
        )
    ]
    spec = NetworkSpec(
        name="tiny",
        input_size=16,
        layers=(*convolutions, Flatten(name="flatten"), Linear(name="fc6", units=2)),
    )
    manifest = Manifest(
        name=name,
        version=1,
        summary="Random weights",
        network=spec,
        preprocessing=Preprocessing(short_side=16, centre=16, crop=16),
        labels=(Label(id="n0", name="church"), Label(id="n1", name="tench")),
        provenance=Provenance(source="made up in a test"),
    )
    write_model(store, manifest, build(spec, generator=torch.Generator().manual_seed(1)))
    return store


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables of programs: a tiny model, a separate cache, and one thread."""
    home = tmp_path_factory.mktemp("home")
    own = {"ZFSCOPE_STORE": str(write_tiny(home / "store")), "XDG_CACHE_HOME": str(home / "cache")}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture(scope="session")
def copy_example(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Copies the folder of an example to one outside the checkout."""

    def copy(folder: Path) -> Path:
        copied = tmp_path_factory.mktemp("third-party") / folder.name
        return shutil.copytree(folder, copied, ignore=shutil.ignore_patterns("__pycache__", ".*"))

    return copy


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that sees the packages of this one."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, symlinks=True)
    folders = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    lines = "".join(f"import site; site.addsitedir({folder!r})\n" for folder in folders)
    (Path(sysconfig.get_path("purelib", "venv", {"base": str(home)})) / "zfscope-tests.pth").write_text(lines)
    return home / "bin" / "python"


@pytest.fixture(scope="module")
def install(python: Path, environment: dict[str, str]) -> Callable[[Path], Run]:
    """Installs the folder of a package in the fresh environment, and returns a function that runs Python."""

    def install_package(folder: Path) -> Run:
        def run_python(*arguments: object, cwd: Path = folder.parent) -> str:
            command = [str(argument) for argument in (python, *arguments)]
            process = subprocess.run(
                command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
            )
            assert process.returncode == 0, f"{shlex.join(command)}\n{process.stdout}{process.stderr}"
            return process.stdout

        # Without an index, pip must find the installed dependencies of the package.
        run_python("-m", "pip", "--isolated", "install", "--no-index", "--no-build-isolation", folder)
        return run_python

    return install_package
