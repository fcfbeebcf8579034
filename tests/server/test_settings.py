"""How the service is set up."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from zfscope.errors import InputError
from zfscope.server.settings import Settings, read_settings


def test_the_service_listens_on_this_machine_alone_unless_told_otherwise() -> None:
    assert Settings().listen.startswith("127.0.0.1:")


def test_a_setting_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZFSCOPE_STORE", "/models")
    monkeypatch.setenv("ZFSCOPE_MAX_IMAGE_BYTES", "1000")

    settings = Settings()

    assert settings.store == Path("/models")
    assert settings.image_limits.bytes == 1000


def test_who_starts_the_service_overrides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZFSCOPE_LISTEN", "0.0.0.0:1")

    assert Settings(listen="127.0.0.1:2").listen == "127.0.0.1:2"


@pytest.mark.parametrize(
    "listen", ["50051", "localhost", "localhost:", ":50051", "localhost:70000", "host:http"]
)
def test_an_address_that_is_none_is_refused_with_an_example(listen: str) -> None:
    with pytest.raises(ValidationError, match=r"HOST:PORT|a port is a number"):
        Settings(listen=listen)


def test_so_is_one_of_torchserve() -> None:
    with pytest.raises(
        ValidationError, match="'torchserve' has no port; write HOST:PORT, such as torchserve:7070"
    ):
        Settings(torchserve="torchserve")


@pytest.mark.parametrize("listen", ["[::1]:0", "0.0.0.0:65535", "localhost:1"])
def test_an_address_may_be_of_any_kind(listen: str) -> None:
    assert Settings(listen=listen).listen == listen


def test_the_whole_image_limit_fits_into_a_request() -> None:
    settings = Settings()

    assert settings.max_receive_bytes > settings.max_image_bytes


def test_single_methods_have_places_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZFSCOPE_QUEUE", "5")
    monkeypatch.setenv("ZFSCOPE_QUEUES", '{"Occlude": 2}')

    room = Settings().room

    assert room.places("/zfscope.v1.AnalysisService/Occlude") == 2
    assert room.places("/zfscope.v1.AnalysisService/Project") == 5


def test_places_for_a_method_that_there_is_not_are_refused() -> None:
    with pytest.raises(ValidationError, match="no method 'Oclude'; there are ListModels, GetModel, Classify"):
        Settings(queues={"Oclude": 2})


@pytest.mark.parametrize(
    ("variable", "value", "form"),
    [("ZFSCOPE_QUEUES", "{", '{"Occlude": 2}'), ("ZFSCOPE_ANALYZERS", "project", '["project"]')],
)
def test_a_variable_that_is_not_json_is_refused_with_an_example(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, form: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError) as refused:
        read_settings(Settings)
    assert refused.value.message == f"{variable} is '{value}'; allowed is JSON such as {form}"


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_time_is_a_finite_number(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ZFSCOPE_DEFAULT_DEADLINE_S", value)
    with pytest.raises(InputError, match=r"default_deadline_s is .*finite number"):
        read_settings(Settings)
