"""The committed stubs are what the protos give."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STUBS = ROOT / "service" / "zfscope" / "v1"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stubs made afresh, as `make proto` makes them."""
    out = tmp_path_factory.mktemp("stubs")
    protos = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto"))
    outputs = [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    tools = Path(sys.executable).parent  # where protoc finds its mypy plugins
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "--proto_path=proto", *outputs, *protos],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
        check=True,
        capture_output=True,
    )
    return out / "zfscope" / "v1"


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*_pb2*")}


def test_the_committed_stubs_are_exactly_what_the_protos_generate(generated: Path) -> None:
    fresh, committed = contents(generated), contents(STUBS)

    assert set(committed) == set(fresh), "run `make proto`, and remove the stubs of protos that are gone"
    stale = [name for name in fresh if fresh[name] != committed[name]]
    assert not stale, f"{stale} are not what proto/ gives: run `make proto`"
