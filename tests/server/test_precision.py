"""Services and clients in bfloat16 and tf32: every answer states the precision that it was made in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import run_service
from tests.server.test_client_interface import CALLS, model_store
from zfscope import Client, LocalClient
from zfscope.client import ClientMethods
from zfscope.errors import RuntimeUnavailable
from zfscope.v1 import analysis_pb2, classification_pb2, model_pb2, precision_pb2

__all__ = ["model_store"]  # a fixture

# Analyses of traces alone, and of several models, compute in float32 whatever the setting.
FLOAT32 = ("activations", "correspond", "compare_architectures")
STATED = [name for name in CALLS if name not in ("models", "analyzers", "indexed_photo")]


@pytest.fixture(scope="module", autouse=True)
def fast() -> Iterator[None]:
    """A processor that multiplies bfloat16 in hardware; others compute the same, slowly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zfscope.runtimes.precision.has_bfloat16", lambda device: True)
        yield


@pytest.fixture(scope="module", params=["service", "local"])
def client(request: pytest.FixtureRequest, model_store: Path, settings: Any) -> Iterator[ClientMethods]:
    if request.param == "local":
        with LocalClient(model_store, runtime="torch", precision="bfloat16") as local:
            yield local
        return
    changed = {"store": model_store, "runtime": "torch", "precision": "bfloat16"}
    with run_service(settings.model_copy(update=changed)) as service:
        service.warm_up()
        with Client(service.address) as remote:
            yield remote


@pytest.mark.parametrize("method", STATED)
def test_answers_state_their_precision(method: str, client: ClientMethods, photo: bytes) -> None:
    arguments, options = CALLS[method](photo)
    result = getattr(client, method)(*arguments, **options)
    assert result.precision == ("float32" if method in FLOAT32 else "bfloat16")


def test_partial_results_state_it_too(client: ClientMethods, photo: bytes) -> None:
    partials = []
    client.analyze(
        "occlude",
        [photo],
        {"window": 8, "stride": 1},
        model="tiny",
        pictures=False,
        progress=lambda progress: partials.append(progress.partial),
        partial_results=True,
    )
    assert {partial.precision for partial in partials if partial} <= {"bfloat16"}


@pytest.mark.usefixtures("fake_gpu")
@pytest.mark.parametrize("method", STATED)
def test_everything_on_a_gpu_in_tf32_states_it(method: str, model_store: Path, photo: bytes) -> None:
    """Also analyses of traces alone: torch's switch holds for the whole process."""
    arguments, options = CALLS[method](photo)
    with LocalClient(model_store, device="cuda", precision="tf32") as local:
        assert getattr(local, method)(*arguments, **options).precision == "tf32"


@pytest.mark.usefixtures("fake_gpu")
def test_a_service_in_tf32_states_it(model_store: Path, settings: Any, photo: bytes) -> None:
    changed = {"store": model_store, "device": "cuda", "precision": "tf32"}
    with run_service(settings.model_copy(update=changed)) as service:
        service.warm_up()
        with Client(service.address) as remote:
            for method in ("model", "classify", "activations"):
                arguments, options = CALLS[method](photo)
                assert getattr(remote, method)(*arguments, **options).precision == "tf32"


def test_a_service_on_the_cpu_refuses_tf32(model_store: Path, settings: Any) -> None:
    changed = {"store": model_store, "precision": "tf32"}
    with (
        run_service(settings.model_copy(update=changed)) as service,
        pytest.raises(RuntimeUnavailable, match="precision tf32 is a mode of NVIDIA GPUs, not of the CPU"),
    ):
        service.warm_up()


@pytest.mark.usefixtures("fake_gpu")
def test_two_clients_cannot_mix_precisions_on_the_gpu(model_store: Path, photo: bytes) -> None:
    """Not even by ONNX Runtime, whose sessions could: traces could not."""
    arguments, options = CALLS["classify"](photo)
    with LocalClient(model_store, device="cuda") as exact:
        exact.classify(*arguments, **options)
    message = "precision tf32 is not available in this process: it computes in float32 on the GPU"
    with (
        LocalClient(model_store, device="cuda", precision="tf32") as fast,
        pytest.raises(RuntimeUnavailable, match=message),
    ):
        fast.classify(*arguments, **options)


def test_a_local_client_refuses_a_runtime_that_lacks_the_precision(
    model_store: Path,
    photo: bytes,
) -> None:
    message = "runtime 'onnx' does not compute in bfloat16"
    with (
        LocalClient(model_store, precision="bfloat16") as client,
        pytest.raises(RuntimeUnavailable, match=message),
    ):
        client.project(photo, model="tiny", version=1)


def test_every_answer_has_a_field_for_its_precision() -> None:
    answers = [
        message
        for module in (analysis_pb2, classification_pb2)
        for name, message in module.DESCRIPTOR.message_types_by_name.items()
        if "warnings" in message.fields_by_name
    ]
    assert len(answers) == 11
    answers.append(model_pb2.GetModelResponse.DESCRIPTOR)
    for message in answers:
        assert message.fields_by_name["precision"].enum_type is precision_pb2.Precision.DESCRIPTOR
