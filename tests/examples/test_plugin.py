"""A third-party analyzer: installed by pip in a fresh environment, and called through every interface.

See `tests.examples.conftest` for the environment.
"""

import base64
import json
import re
import shlex
import signal
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from PIL import Image

from tests.examples.conftest import CHECKOUT, ZFSCOPE, Run
from zfscope.client import Analysis, Client, Progress
from zfscope.errors import InputError, NotFound, ZfscopeError

EXAMPLE = CHECKOUT / "examples" / "zfscope-gradcam"
VERSION = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["version"]
GUIDE = (EXAMPLE / "README.md").read_text()
GUIDE_ADDRESS = "localhost:50051"


@pytest.fixture(scope="module")
def example(copy_example: Callable[[Path], Path]) -> Path:
    """A copy of the example's folder, outside the checkout."""
    return copy_example(EXAMPLE)


@pytest.fixture(scope="module")
def run(install: Callable[[Path], Run], example: Path) -> Run:
    """Runs Python in the fresh environment, with the example installed, and returns stdout."""
    return install(example)


@pytest.fixture(scope="module")
def address(
    run: Run, python: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of a service that runs in the fresh environment."""
    log = tmp_path_factory.mktemp("service") / "log"
    with log.open("w") as errors:
        service = subprocess.Popen(
            [python, ZFSCOPE, "serve", "--listen", "127.0.0.1:0", "--threads", "1"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert service.stdout is not None
        listens, serves = service.stdout.readline(), service.stdout.readline()
        assert serves == "zfscope serves model 'tiny' version 1\n", log.read_text()
        yield listens.split()[-1]
        service.send_signal(signal.SIGINT)
        service.communicate(timeout=30)
        assert service.returncode == 0, log.read_text()
    finally:
        service.kill()
        service.communicate()


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address) as client:
        client.wait_until_ready()
        yield client


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photo of the guide, in a separate folder: blobs, which activate every map."""
    path = tmp_path_factory.mktemp("photos") / "photo.jpg"
    blobs = np.random.default_rng(7).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(blobs).resize((60, 48), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def expected(client: Client, photo: Path) -> Analysis:
    """The evidence for a church, from the client."""
    return client.analyze("gradcam", [photo], {"label": "church"}, tensors=True).analysis


def blocks(language: str, *, containing: str = "") -> list[str]:
    """Return the guide's code blocks of a language."""
    result: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, flags=re.MULTILINE | re.DOTALL)
    return [block for block in result if containing in block]


def test_the_command_line_lists_it_with_its_package(run: Run) -> None:
    listed = {info["name"]: info for info in json.loads(run(ZFSCOPE, "analyzers", "--json"))["analyzers"]}
    assert {"project", "occlude"} < set(listed)
    assert listed["project"]["distribution"] == "zfscope"
    assert (listed["gradcam"]["distribution"], listed["gradcam"]["version"]) == ("zfscope-gradcam", VERSION)
    assert (listed["gradcam"]["cost"], listed["gradcam"]["photos"]) == (2, [1, 1])
    assert set(listed["gradcam"]["parameters_schema"]["properties"]) == {"layer", "label"}


def test_the_service_lists_it_too(client: Client) -> None:
    (info,) = (info for info in client.analyzers() if info.name == "gradcam")
    assert (info.distribution, info.version) == ("zfscope-gradcam", VERSION)
    assert info.parameters_schema["properties"]["layer"]["default"] == ""


def test_the_client_receives_the_result_that_the_guide_describes(client: Client, photo: Path) -> None:
    reports: list[Progress] = []
    answer = client.analyze("gradcam", [photo], {"label": "church"}, tensors=True, progress=reports.append)
    result = answer.analysis
    assert (answer.model, answer.version) == ("tiny", 1)
    assert {name: tensor.shape for name, tensor in result.tensors.items()} == {
        "cam": (16, 16),
        "weights": (9,),
        "attribution": (16, 16),
    }
    assert result.numbers["peak"] == result.tensors["cam"].max() > 0
    (score,) = (score for score in client.classify(photo).classes if score.label == "church")
    row = ("n0", "church", pytest.approx(score.probability, rel=1e-4), "relu5")
    assert result.tables["classes"].rows == (row,)
    assert result.numbers["score"] == pytest.approx(score.logit, rel=1e-4)
    assert [picture.name for picture in result.pictures] == ["gradcam"]
    assert all(0 < progress.fraction <= 1 for progress in reports)


@pytest.mark.parametrize(
    ("parameters", "error", "field", "message"),
    [
        (
            {"layer": "conv9"},
            NotFound,
            "parameters.layer",
            "^layer 'conv9' not found; available: conv1, relu1",
        ),
        (
            {"layer": "fc6"},
            InputError,
            "parameters.layer",
            "^layer 'fc6' has no maps; layers with maps: conv1",
        ),
        (
            {"label": "cow"},
            NotFound,
            "parameters.label",
            r"^label 'cow' not found; this model has 'church' \(n0\)",
        ),
        (
            {"lable": "church"},
            InputError,
            "parameters.lable",
            "lable is not known; allowed: layer, label; did you mean 'label'\\?",
        ),
    ],
)
def test_its_errors_reach_the_caller(
    client: Client,
    photo: Path,
    parameters: dict[str, str],
    error: type[ZfscopeError],
    field: str,
    message: str,
) -> None:
    with pytest.raises(error, match=message) as refusal:
        client.analyze("gradcam", [photo], parameters)
    assert refusal.value.field == field


def test_the_command_of_the_guide_writes_the_same(
    run: Run, address: str, photo: Path, expected: Analysis
) -> None:
    (line,) = re.findall(r"^zfscope (analyze gradcam photo.jpg .*)$", GUIDE, flags=re.MULTILINE)
    options = ["--server", address, "--tensors", "--json"]
    printed = json.loads(run(ZFSCOPE, *shlex.split(line), *options, cwd=photo.parent))
    folder = photo.parent / "seen"
    names = ("gradcam.png", "attribution.npy", "cam.npy", "weights.npy")
    assert sorted(printed["files"]) == sorted(f"seen/photo-{name}" for name in names)
    for name, tensor in expected.tensors.items():
        np.testing.assert_array_equal(np.load(folder / f"photo-{name}.npy"), tensor)
    assert (folder / "photo-gradcam.png").read_bytes() == expected.pictures[0].png
    assert printed["numbers"] == expected.numbers
    assert printed["tables"]["classes"] == expected.tables["classes"].records()


def test_the_client_of_the_guide_receives_the_same(
    address: str,
    photo: Path,
    expected: Analysis,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (code,) = blocks("python", containing=GUIDE_ADDRESS)
    monkeypatch.chdir(photo.parent)
    exec(code.replace(GUIDE_ADDRESS, address), {})
    assert (photo.parent / "gradcam.png").read_bytes() == expected.pictures[0].png
    assert "'label': 'church'" in capsys.readouterr().out


def test_reflection_is_enough_to_receive_the_same(address: str, photo: Path, expected: Analysis) -> None:
    (script,) = blocks("sh", containing="AnalysisService/Analyze")
    (request,) = re.findall(r"<<END\n(.*?)\nEND", script, flags=re.DOTALL)
    encoded = base64.b64encode(photo.read_bytes()).decode()
    result = call_by_reflection(address, request.replace("$(base64 -w0 photo.jpg)", encoded))
    assert set(result.tensors) == set(expected.tensors)
    for name, tensor in expected.tensors.items():
        values = np.frombuffer(result.tensors[name].data, "<f4").reshape(list(result.tensors[name].shape))
        np.testing.assert_array_equal(values, tensor)
    assert dict(result.numbers) == expected.numbers
    assert [picture.png for picture in result.pictures] == [expected.pictures[0].png]


def call_by_reflection(address: str, request: str) -> Any:
    """Call Analyze with a JSON request as grpcurl does, knowing only what the service reports."""
    with grpc.insecure_channel(address) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        method = pool.FindServiceByName("zfscope.v1.AnalysisService").methods_by_name["Analyze"]
        request_type = GetMessageClass(method.input_type)
        response_type = GetMessageClass(method.output_type)
        assert request_type.DESCRIPTOR.file.pool is pool
        call = channel.unary_stream(
            "/zfscope.v1.AnalysisService/Analyze",
            request_serializer=request_type.SerializeToString,
            response_deserializer=response_type.FromString,
        )
        *_, last = call(json_format.Parse(request, request_type()), timeout=60)
    return last.result


def test_its_own_tests_pass_where_it_is_installed(run: Run, example: Path) -> None:
    printed = run("-m", "pytest", "-p", "no:cacheprovider", ".", cwd=example / "tests")
    assert re.search(r"\d+ passed in", printed)


def test_it_passes_the_contract_tests_of_all_analyzers(run: Run) -> None:
    contract = CHECKOUT / "tests" / "analyzers" / "test_contract.py"
    printed = run("-m", "pytest", "-p", "no:cacheprovider", "-k", "gradcam", contract, cwd=CHECKOUT)
    assert re.search(r"\d+ passed, \d+ deselected in", printed)


def test_the_guide_shows_the_code_of_the_package() -> None:
    package = (EXAMPLE / "zfscope_gradcam" / "__init__.py").read_text()
    tests = (EXAMPLE / "tests" / "test_gradcam.py").read_text()
    shown = [block for block in blocks("python") if GUIDE_ADDRESS not in block]
    assert [block for block in shown if block not in package and block not in tests] == []
    assert "\n\n\n".join(block.strip() for block in shown if block in package) == package.strip()
    assert blocks("toml") == [(EXAMPLE / "pyproject.toml").read_text()]
