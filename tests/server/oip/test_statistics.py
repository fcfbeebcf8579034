"""ModelStatistics and RepositoryIndex: counts and durations of requests, and the models of the store."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from tests.server.conftest import RunningService
from tests.server.oip.messages import parameters, raw_photos, raw_tensors, requested_outputs
from zfscope.client import Client
from zfscope.inference import inference_pb2 as pb
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.server.settings import Settings

PARTS = ("queue", "compute_input", "compute_infer", "compute_output")


@pytest.fixture
def fresh(settings: Settings, make_service: Callable[[Settings], RunningService]) -> RunningService:
    """A warm service without requests so far."""
    service = make_service(settings)
    service.warm_up()
    return service


@pytest.fixture
def fresh_stub(fresh: RunningService) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(fresh.address) as channel:
        yield GRPCInferenceServiceStub(channel)


def statistics(stub: GRPCInferenceServiceStub, name: str = "", version: str = "") -> dict[str, Any]:
    """Return the statistics by NAME:VERSION."""
    request = pb.ModelStatisticsRequest(name=name, version=version)
    response = stub.ModelStatistics(request, timeout=60)
    return {f"{each.name}:{each.version}": each for each in response.model_stats}


def passes(entry: pb.ModelStatistics) -> dict[int, int]:
    return {each.batch_size: each.compute_infer.count for each in entry.batch_stats}


def test_requests_of_a_model_are_counted_and_timed(
    fresh_stub: GRPCInferenceServiceStub, pixels: np.ndarray
) -> None:
    before, begun = statistics(fresh_stub)["tiny:2"], time.time()
    fresh_stub.ModelInfer(raw_tensors(pixels, model_name="tiny"), timeout=60)
    for _ in range(2):
        fresh_stub.ModelInfer(raw_tensors(pixels[:1], model_name="tiny"), timeout=60)
    after = statistics(fresh_stub)["tiny:2"]

    assert after.inference_count - before.inference_count == 5
    assert after.execution_count - before.execution_count == 3
    assert passes(after)[3] - passes(before).get(3, 0) == 1
    assert passes(after)[1] - passes(before).get(1, 0) == 2
    stats = after.inference_stats
    assert (stats.success.count, stats.fail.count) == (3, 0)
    assert [getattr(stats, part).count for part in PARTS] == [3] * 4
    assert 0 < sum(getattr(stats, part).ns for part in PARTS) <= stats.success.ns
    assert stats.compute_infer.ns > 0
    assert begun * 1000 - 1 <= after.last_inference <= time.time() * 1000 + 1


def test_the_parts_of_a_request_are_within_the_time_that_its_client_measures(
    fresh_stub: GRPCInferenceServiceStub, photo: bytes
) -> None:
    request = raw_photos(photo, model_name="tiny", outputs=requested_outputs("logits", "relu5"))
    started = time.perf_counter_ns()
    fresh_stub.ModelInfer(request, timeout=60)
    elapsed_ns = time.perf_counter_ns() - started
    stats = statistics(fresh_stub, "tiny")["tiny:2"].inference_stats
    assert stats.success.ns <= elapsed_ns
    assert all(getattr(stats, part).ns > 0 for part in PARTS)


def test_passes_of_other_calls_are_counted_but_not_as_requests(
    fresh: RunningService, fresh_stub: GRPCInferenceServiceStub, photo: bytes
) -> None:
    before = statistics(fresh_stub)["tiny:2"]
    with Client(fresh.address) as client:
        client.classify(photo)
    after = statistics(fresh_stub)["tiny:2"]
    assert after.inference_count - before.inference_count == 1
    assert after.inference_stats == pb.InferStatistics(
        **{part: pb.StatisticDuration() for part in ("success", "fail", *PARTS)}
    )


def test_failed_requests_are_counted_apart(fresh_stub: GRPCInferenceServiceStub, pixels: np.ndarray) -> None:
    for request in (
        raw_tensors(pixels[:, :, :31], model_name="tiny"),
        raw_tensors(pixels, model_name="tiny", outputs=requested_outputs("nothing")),
    ):
        with pytest.raises(grpc.RpcError):
            fresh_stub.ModelInfer(request, timeout=60)
    with pytest.raises(grpc.RpcError):
        fresh_stub.ModelInfer(raw_tensors(pixels, model_name="huge"), timeout=60)
    stats = statistics(fresh_stub)
    assert (stats["tiny:2"].inference_stats.fail.count, stats["tiny:2"].inference_stats.success.count) == (
        2,
        0,
    )
    assert stats["tiny:2"].inference_stats.fail.ns > 0
    assert set(stats) == {"other:1", "tiny:1", "tiny:2"}  # unknown names add no entries


def test_analyzers_are_listed_once_they_have_run(fresh_stub: GRPCInferenceServiceStub, photo: bytes) -> None:
    request = raw_photos(photo, model_name="tiny/project", parameters=parameters(layer="conv5", top=1))
    fresh_stub.ModelInfer(request, timeout=60)
    entry = statistics(fresh_stub)["tiny/project:2"]
    assert (entry.inference_count, entry.execution_count) == (1, 1)
    assert entry.inference_stats.compute_infer.ns > 0
    assert not entry.batch_stats
    assert list(statistics(fresh_stub, "tiny/project")) == ["tiny/project:1", "tiny/project:2"]


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("", "", ["other:1", "tiny:1", "tiny:2"]),
        ("tiny", "", ["tiny:1", "tiny:2"]),
        ("tiny", "1", ["tiny:1"]),
    ],
)
def test_an_empty_name_or_version_means_all(
    fresh_stub: GRPCInferenceServiceStub, name: str, version: str, expected: list[str]
) -> None:
    assert list(statistics(fresh_stub, name, version)) == expected


@pytest.mark.parametrize(
    ("name", "version", "status"),
    [
        ("huge", "", grpc.StatusCode.NOT_FOUND),
        ("tiny", "7", grpc.StatusCode.NOT_FOUND),
        ("tiny/nothing", "", grpc.StatusCode.NOT_FOUND),
        ("tiny", "x", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_statistics_of_something_unknown_are_an_error(
    stub: GRPCInferenceServiceStub,
    call_error: Callable[..., Any],
    name: str,
    version: str,
    status: grpc.StatusCode,
) -> None:
    error = call_error(stub.ModelStatistics, pb.ModelStatisticsRequest(name=name, version=version))
    assert error.code is status


def index(stub: GRPCInferenceServiceStub, *, ready: bool = False) -> list[tuple[str, str, str]]:
    response = stub.RepositoryIndex(pb.RepositoryIndexRequest(ready=ready), timeout=60)
    return [(entry.name, entry.version, entry.state) for entry in response.models]


def test_the_index_lists_every_version(stub: GRPCInferenceServiceStub) -> None:
    expected = [("other", "1", "READY"), ("tiny", "1", "READY"), ("tiny", "2", "READY")]
    assert index(stub) == expected
    assert index(stub, ready=True) == expected


def test_a_damaged_model_is_unavailable_with_the_reason(
    settings: Settings,
    make_service: Callable[[Settings], RunningService],
    write_tiny: Callable[..., None],
    tmp_path: Path,
) -> None:
    write_tiny(tmp_path, "tiny", 1)
    write_tiny(tmp_path, "broken", 1)
    manifest = tmp_path / "broken" / "1" / "model.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format_version": 0}))
    service = make_service(settings.model_copy(update={"store": tmp_path}))
    service.warm_up()
    with grpc.insecure_channel(service.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert index(stub) == [("broken", "1", "UNAVAILABLE"), ("tiny", "1", "READY")]
        assert index(stub, ready=True) == [("tiny", "1", "READY")]
        (broken, _) = stub.RepositoryIndex(pb.RepositoryIndexRequest()).models
    assert "format_version" in broken.reason


def test_models_are_unavailable_while_the_service_stops(fresh: RunningService) -> None:
    stopping = fresh.submit(fresh.service.stop(lame_duck_s=2))
    with grpc.insecure_channel(fresh.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        while stub.ServerReady(pb.ServerReadyRequest()).ready:
            pass
        assert index(stub, ready=True) == []
        assert {state for _, _, state in index(stub)} == {"UNAVAILABLE"}
    stopping.result(timeout=60)


def test_there_is_one_repository(stub: GRPCInferenceServiceStub, call_error: Callable[..., Any]) -> None:
    error = call_error(stub.RepositoryIndex, pb.RepositoryIndexRequest(repository_name="other"))
    assert (error.code, error.field, error.message) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "repository_name",
        "repository_name: repository 'other' not found; leave the name empty: there is one",
    )
