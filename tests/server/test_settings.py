"""Settings of the service."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from zfscope.client import Access
from zfscope.errors import InputError
from zfscope.images.limits import DecodeLimits, environment_limits
from zfscope.server.settings import Settings
from zfscope.wire.settings import read_settings


def test_the_service_listens_on_the_loopback_address_by_default() -> None:
    assert Settings().listen.startswith("127.0.0.1:")


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZFSCOPE_STORE", "/models")
    monkeypatch.setenv("ZFSCOPE_MAX_IMAGE_BYTES", "1000")

    settings = Settings()

    assert settings.store == Path("/models")
    assert settings.image_limits.bytes == 1000


def test_arguments_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZFSCOPE_LISTEN", "0.0.0.0:1")

    assert Settings(listen="127.0.0.1:2").listen == "127.0.0.1:2"


@pytest.mark.parametrize(
    "listen", ["50051", "localhost", "localhost:", ":50051", "localhost:70000", "host:http"]
)
def test_an_invalid_address_is_rejected_with_an_example(listen: str) -> None:
    with pytest.raises(ValidationError, match=r"HOST:PORT|a port is a number"):
        Settings(listen=listen)


def test_an_invalid_torchserve_address_is_rejected_with_an_example() -> None:
    with pytest.raises(
        ValidationError, match="'torchserve' has no port; write HOST:PORT, such as torchserve:7070"
    ):
        Settings(torchserve="torchserve")


@pytest.mark.parametrize("listen", ["[::1]:0", "0.0.0.0:65535", "localhost:1"])
def test_every_kind_of_address_is_accepted(listen: str) -> None:
    assert Settings(listen=listen).listen == listen


def test_an_image_of_the_maximum_size_fits_into_a_request() -> None:
    settings = Settings()

    assert settings.max_receive_bytes > settings.max_image_bytes


def test_the_comments_of_the_protos_state_the_default_limits() -> None:
    root, image = Path(__file__).parents[2], Settings().max_image_bytes >> 20
    comments = " ".join((root / "proto/zfscope/v1/image.proto").read_text().replace("//", "").split())
    assert f"{image} MiB and 50 million by default" in comments


def test_a_method_can_have_its_own_queue_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZFSCOPE_QUEUE", "5")
    monkeypatch.setenv("ZFSCOPE_QUEUES", '{"Occlude": 2}')

    limits = Settings().admission_limits

    assert limits.max_requests("/zfscope.v1.AnalysisService/Occlude") == 2
    assert limits.max_requests("/zfscope.v1.AnalysisService/Project") == 5


def test_a_queue_limit_for_an_unknown_method_is_rejected() -> None:
    with pytest.raises(
        ValidationError, match="unknown method 'Oclude'; available: ListModels, GetModel, Classify"
    ):
        Settings(queues={"Oclude": 2})


@pytest.mark.parametrize(
    ("variable", "value", "example"),
    [("ZFSCOPE_QUEUES", "{", '{"Occlude": 4}'), ("ZFSCOPE_ANALYZERS", "project", '["project"]')],
)
def test_a_variable_that_is_not_json_is_rejected_with_an_example(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, example: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError) as caught:
        read_settings(Settings)
    assert caught.value.message == f"{variable} is '{value}'; allowed: JSON such as {example}"


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_time_must_be_finite(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ZFSCOPE_DEFAULT_DEADLINE_S", value)
    with pytest.raises(InputError, match=r"default_deadline_s is .*finite number"):
        read_settings(Settings)


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        (
            {"traces_endpoint": "foo"},
            "traces_endpoint",
            "traces_endpoint is 'foo': 'foo' is not a URL; write http",
        ),
        ({"traces_endpoint": "http://u:secret@x:1"}, "traces_endpoint", "leave user name and password out"),
        ({"listen": "u:secret@x:1"}, "listen", "leave user name and password out"),
        ({"threads": "-1"}, "threads", "threads is '-1': Input should be greater than 0"),
        ({"threads": 10**9}, "threads", "threads is 1000000000: Input should be less than or equal to 1024"),
        ({"workers": 10**9}, "workers", "less than or equal to 1024"),
        ({"max_receive_bytes": 2**31}, "max_receive_bytes", "less than or equal to 2147483647"),
        ({"max_send_bytes": 2**31}, "max_send_bytes", "less than or equal to 2147483647"),
        ({"keepalive_s": 1e9}, "keepalive_s", "less than or equal to 2000000"),
        ({"keepalive_timeout_s": 1e9}, "keepalive_timeout_s", "less than or equal to 2000000"),
        ({"max_connections": 2**31}, "max_connections", "less than or equal to 2147483647"),
        (
            {"default_deadline_s": 901},
            "default_deadline_s",
            "default_deadline_s is 901.0, above max_deadline_s, 900.0; lower it, or raise max_deadline_s",
        ),
        (
            {"max_image_bytes": 1 << 26},
            "max_image_bytes",
            "max_image_bytes is 67108864, above max_receive_bytes, 54525952",
        ),
    ],
)
def test_an_invalid_value_is_rejected_without_quoting_secrets(
    values: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_settings(Settings, **values, token="a-token-that-is-secret")
    assert caught.value.field == field
    assert message in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("settings", [{"max_deadline_s": 10}, {"max_receive_bytes": 1 << 20}])
def test_defaults_are_reduced_to_a_lower_limit(settings: dict[str, Any]) -> None:
    read_settings(Settings, **settings)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "LISTEN",
        "QUEUES",
        "THREADS",
        "CACHE",
        "ALLOW_INSECURE",
        "MAX_IMAGE_BYTES",
        "TLS_SERVER_NAME",
    ):
        monkeypatch.setenv(f"ZFSCOPE_{name}", "")
    assert read_settings(Settings) == Settings.model_construct()
    assert read_settings(Access) == Access.model_construct()
    assert environment_limits() == DecodeLimits()


@pytest.mark.parametrize("name", ["TOKEN", "TOKEN_FILE", "TLS_CERTIFICATE", "TLS_KEY", "TLS_CLIENT_CA"])
def test_an_empty_security_variable_is_rejected(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"ZFSCOPE_{name}", "")
    with pytest.raises(InputError) as caught:
        read_settings(Settings)
    assert caught.value.message == f"ZFSCOPE_{name} is empty; set it to a value, or unset it to do without"
    assert caught.value.field == name.lower()
    read_settings(Settings, **{name.lower(): "given.pem"})
