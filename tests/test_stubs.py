"""The committed stubs match the protos."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool

from zfscope.inference import inference_pb2

ROOT = Path(__file__).resolve().parents[1]
STUBS = ROOT / "service" / "zfscope"
PACKAGES = ("v1", "inference", "runtimes/torchserve")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Freshly generated stubs, as by `make proto`."""
    out = tmp_path_factory.mktemp("stubs")
    subprocess.run([sys.executable, ROOT / "proto" / "generate.py", out], check=True, capture_output=True)
    return out / "zfscope"


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*_pb2*")}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_committed_stubs_match_the_protos(generated: Path, package: str) -> None:
    fresh, committed = contents(generated / package), contents(STUBS / package)

    assert fresh
    assert set(committed) == set(fresh), "run `make proto`, and remove the stubs of deleted protos"
    stale = [name for name in fresh if fresh[name] != committed[name]]
    assert not stale, f"{stale} do not match proto/: run `make proto`"


def test_the_committed_client_code_matches_the_generator(tmp_path: Path) -> None:
    folder = tmp_path / "zfscope" / "client"
    folder.mkdir(parents=True)
    subprocess.run([sys.executable, ROOT / "proto" / "client.py", tmp_path], check=True)

    for fresh in folder.iterdir():
        assert fresh.read_text() == (STUBS / "client" / fresh.name).read_text(), "run `make proto`"
    assert {fresh.name for fresh in folder.iterdir()} == {"generated.py"}


def test_stubs_of_shared_protos_are_in_a_separate_pool() -> None:
    message = inference_pb2.ModelInferRequest.DESCRIPTOR
    shared = descriptor_pool.Default()

    assert message.full_name == "inference.ModelInferRequest"
    assert message.file.pool is not shared
    with pytest.raises(KeyError):
        shared.FindMessageTypeByName(message.full_name)


MEASURE = """
import sys
from coverage import Coverage
measured = Coverage(config_file=sys.argv[1], data_file=None)
measured.start()
import zfscope.errors, zfscope.v1.image_pb2, zfscope.inference.inference_pb2
import zfscope.runtimes.torchserve.predictions_pb2
measured.stop()
print(*measured.get_data().measured_files(), sep="\\n")
"""


def test_coverage_omits_stubs_in_any_working_directory(tmp_path: Path) -> None:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", MEASURE, ROOT / "pyproject.toml"]
    result = subprocess.run(command, env=outside, cwd=tmp_path, capture_output=True, text=True, check=True)
    measured = [Path(line) for line in result.stdout.split()]
    assert "errors.py" in {path.name for path in measured}
    assert [path for path in measured if "_pb2" in path.name] == []
