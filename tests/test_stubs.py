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


MEASURE = """
import sys
from coverage import Coverage
measured = Coverage(config_file=sys.argv[1], data_file=None)
measured.start()
import zfscope.errors, zfscope.v1.image_pb2
measured.stop()
print(*measured.get_data().measured_files(), sep="\\n")
"""


def test_coverage_leaves_them_out_in_whatever_folder_a_process_runs(tmp_path: Path) -> None:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", MEASURE, ROOT / "pyproject.toml"]
    result = subprocess.run(command, env=outside, cwd=tmp_path, capture_output=True, text=True, check=True)
    measured = [Path(line) for line in result.stdout.split()]
    assert "errors.py" in {path.name for path in measured}
    assert "v1" not in {path.parent.name for path in measured}
