"""A service on a unix socket: clients, permissions, and files that exist already."""

import asyncio
import re
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from pydantic import SecretStr

from zfscope.client import Access, Client
from zfscope.errors import InputError, NotReady, Unauthenticated
from zfscope.server.app import Service
from zfscope.server.credentials import ServiceCredentials
from zfscope.server.listen import bind
from zfscope.server.settings import Settings
from zfscope.wire.settings import read_settings

Start = Callable[..., str]


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a socket, short enough for one."""
    return tmp_path_factory.mktemp("unix") / "zfscope.sock"


@pytest.fixture
def start_on(path: Path, settings: Settings, make_service: Callable[[Settings], Any]) -> Start:
    """Return a function that starts a warm service on the socket and returns its address."""

    def start(**changes: Any) -> str:
        service = make_service(settings.model_copy(update={"listen": f"unix:{path}", **changes}))
        service.warm_up()
        return str(service.address)

    return start


def bind_once(settings: Settings, listen: str) -> str:
    """Bind an address and free it again."""

    async def bind_and_stop() -> str:
        server = grpc.aio.server()
        try:
            changed = settings.model_copy(update={"listen": listen})
            return bind(server, changed, ServiceCredentials(changed))
        finally:
            await server.stop(None)

    return asyncio.run(bind_and_stop())


def test_a_client_calls_a_service_on_a_socket(start_on: Start, path: Path, photo: bytes) -> None:
    address = start_on()
    assert address == f"unix:{path}"
    for target in (address, f"unix://{path}"):
        with Client(target) as client:
            assert client.health() == "SERVING"
            assert client.classify(photo).model == "tiny"


@pytest.mark.parametrize("mode", [None, "600", "666"])
def test_the_permissions_of_the_socket_are_those_of_the_setting(
    start_on: Start, path: Path, mode: str | None
) -> None:
    start_on(**({"socket_mode": mode} if mode else {}))
    assert f"{stat.S_IMODE(path.stat().st_mode):o}" == (mode or "660")


def test_a_token_is_required_and_sent_without_tls(start_on: Start) -> None:
    address, token = start_on(token=SecretStr("0123456789abcdef")), SecretStr("0123456789abcdef")
    with Client(address) as client, pytest.raises(Unauthenticated):
        client.models()
    with Client(address, access=Access(token=token)) as client:
        assert client.models()


def test_tls_works_on_a_socket_with_a_certificate_for_localhost(start_on: Start, pems: Any) -> None:
    address = start_on(**pems.server)
    with Client(address, access=Access(tls_ca=pems.ca)) as client:
        assert client.models()
    with Client(address) as client, pytest.raises(NotReady):
        client.models()


def test_a_socket_that_a_killed_process_left_behind_is_replaced(settings: Settings, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert bind_once(settings, f"unix:{path}") == f"unix:{path}"


def test_the_socket_is_removed_when_the_service_stops(
    settings: Settings, path: Path, make_service: Callable[[Settings], Any]
) -> None:
    service = make_service(settings.model_copy(update={"listen": f"unix:{path}"}))
    assert path.is_socket()
    service.call(service.service._server.stop(0))
    assert not path.exists()


async def test_a_socket_in_use_is_an_error_at_startup_and_stays(
    start_on: Start, path: Path, settings: Settings
) -> None:
    address = start_on()
    second = Service(settings.model_copy(update={"listen": address}))
    message = f"cannot listen on {address}: another process listens on it; choose another address"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$") as caught:
        await second.start()
    assert caught.value.field == "listen"
    with Client(address) as client:
        assert client.health() == "SERVING"


def test_a_file_that_is_not_a_socket_is_not_replaced(settings: Settings, path: Path) -> None:
    path.write_text("notes")
    with pytest.raises(InputError, match="a file that is not a socket has this name"):
        bind_once(settings, f"unix:{path}")
    assert path.read_text() == "notes"


def test_a_missing_folder_is_the_reason_of_the_error(settings: Settings, path: Path) -> None:
    with pytest.raises(InputError, match="missing/a: its folder does not exist; choose"):
        bind_once(settings, f"unix:{path.parent}/missing/a")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"listen": "unix:"}, "listen is 'unix:': 'unix:' has no file name; write unix:PATH"),
        ({"socket_mode": "rw"}, "socket_mode is 'rw': String should match pattern"),
        ({"socket_mode": "888"}, "socket_mode is '888'"),
    ],
)
def test_invalid_settings_are_rejected(values: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        read_settings(Settings, **values)


def test_an_absolute_path_may_be_written_as_a_url() -> None:
    assert Settings(listen="unix:///run/zfscope.sock").listen == "unix:/run/zfscope.sock"
