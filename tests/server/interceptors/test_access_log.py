"""The line that the log has for each call, and the setting that leaves out successful ones."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
import structlog

from tests.server.conftest import RunningService
from zfscope.server.settings import Settings
from zfscope.v1 import model_pb2
from zfscope.v1.model_pb2_grpc import ModelServiceStub

GET_MODEL = "/zfscope.v1.ModelService/GetModel"


@pytest.fixture
def debug_log() -> Iterator[None]:
    """Log as JSON lines on stdout, from DEBUG up."""
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )
    yield
    structlog.configure(**before)


@pytest.fixture
def logged(
    settings: Settings,
    make_service: Callable[[Settings], RunningService],
    capfd: pytest.CaptureFixture[str],
    debug_log: None,
) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that makes a successful and a failed call, and returns their lines in the log."""

    def logged(**changes: object) -> list[dict[str, Any]]:
        service = make_service(settings.model_copy(update=changes))
        service.warm_up()
        with grpc.insecure_channel(service.address) as channel:
            stub = ModelServiceStub(channel)
            stub.GetModel(model_pb2.GetModelRequest(model="tiny"), timeout=30)
            with pytest.raises(grpc.RpcError):
                stub.GetModel(model_pb2.GetModelRequest(model="huge"), timeout=30)
        service.call(service.service.stop())  # the lines are complete
        lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("method") == GET_MODEL]

    return logged


def test_a_call_is_logged_with_its_outcome_its_client_and_its_size(
    logged: Callable[..., list[dict[str, Any]]],
) -> None:
    answered, rejected = logged()
    assert (answered["event"], answered["level"], answered["code"]) == ("answered", "info", "OK")
    assert (rejected["event"], rejected["level"], rejected["code"]) == ("rejected", "info", "NOT_FOUND")
    for line in (answered, rejected):
        assert line["peer"].startswith("ipv4:127.0.0.1:")
        assert line["bytes"] == model_pb2.GetModelRequest(model="tiny").ByteSize()
        assert line["seconds"] >= 0


def test_without_the_access_log_only_failed_calls_are_above_debug(
    logged: Callable[..., list[dict[str, Any]]],
) -> None:
    levels = [(line["event"], line["level"]) for line in logged(access_log=False)]
    assert levels == [("answered", "debug"), ("rejected", "info")]
