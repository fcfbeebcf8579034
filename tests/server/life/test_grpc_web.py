"""Browsers behind Envoy with deploy/envoy/envoy.yaml: gRPC-Web over HTTP/1.1 from pages of other sites.

The format of the messages: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md.
"""

import http.client
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing

import pytest
from google.protobuf.message import Message

from tests.support.balancers import Replicas, running_envoy
from tests.support.certificates import Certificates
from tests.support.service_process import ServiceProcess
from zfscope.v1 import classification_pb2, image_pb2

TOKEN = "0123456789abcdef0123456789abcdef"
SITE = "https://app.example.org"
CLASSIFY = "/zfscope.v1.ClassificationService/Classify"
Headers = Mapping[str, str]
Answer = tuple[int, Headers, bytes]
Send = Callable[[str, Headers, bytes], Answer]


@pytest.fixture(scope="module")
def send(
    environment: Mapping[str, str], pems: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Send]:
    """Return a function that sends a method, headers and a body to Classify through Envoy."""
    settings = {**pems.server, "token": TOKEN}
    own = {f"ZFSCOPE_{name.upper()}": str(value) for name, value in settings.items()}
    folder = tmp_path_factory.mktemp("envoy")
    with closing(ServiceProcess({**environment, **own})) as service, ExitStack() as stack:
        service.start()
        address = stack.enter_context(running_envoy(folder, Replicas([service.address] * 2, pems)))
        context = ssl.create_default_context(cafile=pems.ca)

        def send(method: str, headers: Headers, body: bytes) -> Answer:
            with closing(http.client.HTTPSConnection(address, context=context, timeout=60)) as connection:
                connection.request(method, CLASSIFY, body, dict(headers))
                response = connection.getresponse()
                return response.status, dict(response.getheaders()), response.read()

        yield send


def preflight(site: str) -> Headers:
    """Return the headers by which a browser asks whether a page of a site may call."""
    return {
        "Origin": site,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,grpc-timeout,x-grpc-web,x-user-agent",
    }


def own_headers(token: str) -> Headers:
    """Return the headers of a call by a page of the allowed site."""
    return {
        "Origin": SITE,
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/grpc-web+proto",
        "X-Grpc-Web": "1",
    }


def frame(message: Message) -> bytes:
    data = message.SerializeToString()
    return b"\0" + len(data).to_bytes(4, "big") + data


def frames(body: bytes) -> list[tuple[int, bytes]]:
    """Return the kind and the content of each frame: 0 for a message, 128 for the trailers."""
    result = []
    while body:
        end = 5 + int.from_bytes(body[1:5], "big")
        result.append((body[0], body[5:end]))
        body = body[end:]
    return result


def test_a_page_of_an_allowed_site_calls_the_service(send: Send, photo: bytes) -> None:
    status, headers, _ = send("OPTIONS", preflight(SITE), b"")
    assert (status, headers["access-control-allow-origin"]) == (200, SITE)
    assert headers["access-control-allow-methods"] == "POST"
    allowed = headers["access-control-allow-headers"].split(",")
    assert set(preflight(SITE)["Access-Control-Request-Headers"].split(",")) <= set(allowed)

    request = classification_pb2.ClassifyRequest(image=image_pb2.Image(encoded=photo))
    status, headers, body = send("POST", own_headers(TOKEN), frame(request))

    assert (status, headers["content-type"]) == (200, "application/grpc-web+proto")
    assert headers["access-control-allow-origin"] == SITE
    (kind, message), (end, trailers) = frames(body)
    assert (kind, end) == (0, 128)
    assert classification_pb2.ClassifyResponse.FromString(message).model == "tiny"
    assert b"grpc-status:0\r\n" in trailers


def test_a_page_can_read_the_error_of_a_call(send: Send) -> None:
    status, headers, _ = send(
        "POST", own_headers("another token"), frame(classification_pb2.ClassifyRequest())
    )

    assert (status, headers["grpc-status"]) == (200, "16")
    exposed = headers["access-control-expose-headers"].split(",")
    assert {"grpc-status", "grpc-message", "grpc-status-details-bin"} <= set(exposed)


def test_pages_of_other_sites_are_not_allowed(send: Send) -> None:
    _, headers, _ = send("OPTIONS", preflight("https://other.example.org"), b"")

    assert not [name for name in headers if name.startswith("access-control-")]
