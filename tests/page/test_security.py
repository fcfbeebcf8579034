"""Requests from other sites and without a token are rejected; responses carry security headers."""

import ssl
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from tests.support.certificates import issue_certificates
from tests.support.page_server import PageClient, running_page
from zfscope.errors import InputError
from zfscope.local import LocalClient
from zfscope.page.serve import PageServer
from zfscope.page.settings import PageSettings

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def guarded(local: LocalClient) -> Iterator[PageClient]:
    """A page that requires a token and is also reached as zfscope.example."""
    with running_page(local, token=TOKEN, public_hosts=("zfscope.example",)) as served:
        yield served


def sign_in(page: PageClient, token: str, **headers: str) -> tuple[int, str]:
    """Send the form of the page; return the status and the cookie."""
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = page.request("POST", "v1/session", f"token={token}", {**kind, **headers})
    return answer.status, answer.headers.get("set-cookie", "")


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "[::1]:8080", "a.localhost:5", "192.0.2.7"])
def test_ip_addresses_and_localhost_are_known_hosts(page: PageClient, host: str) -> None:
    assert page.get("v1/session", Host=host).status == 200


@pytest.mark.parametrize("host", ["rebound.example", "rebound.example:8080", "", "127.0.0.1.example", "["])
def test_a_host_name_that_may_have_been_rebound_is_rejected(page: PageClient, host: str) -> None:
    answer = page.get("v1/models", Host=host)
    assert (answer.status, answer.error["reason"], answer.error["field"]) == (403, "FORBIDDEN", "host")
    assert page.get("healthz", Host=host).status == 200


def test_a_listed_host_name_is_known(guarded: PageClient) -> None:
    assert guarded.get("v1/session", Host="ZFSCOPE.example:443").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://other.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_request_from_another_site_is_rejected(page: PageClient, headers: dict[str, str]) -> None:
    answer = page.get("v1/models", **headers)
    assert (answer.status, answer.error["field"]) == (403, "origin")


def test_the_page_itself_and_links_to_it_are_allowed(page: PageClient, guarded: PageClient) -> None:
    own = "{}:{}".format(*page.address)
    assert page.get("v1/models", Origin=f"http://{own}", Host=own).status == 200
    assert page.get("v1/models", Origin="https://localhost", Host="localhost:443").status == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert page.request("GET", "", headers=link).status == 200
    # A proxy that replaces the Host header: the origin is a listed name.
    assert guarded.get("v1/session", Origin="https://zfscope.example").status == 200


def test_every_response_carries_the_security_headers(page: PageClient) -> None:
    for path in ("", "v1/models", "v1/nothing", "openapi.json"):
        headers = page.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in page.get("").headers


def test_without_a_token_only_the_page_and_its_form_answer(guarded: PageClient) -> None:
    assert guarded.get("").status == guarded.get("healthz").status == 200
    session = guarded.get("v1/session").json
    assert (session["authenticated"], session["token_required"], session["model"]) == (False, True, None)
    answer = guarded.get("v1/models")
    assert (answer.status, answer.error["reason"]) == (401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_the_token_is_accepted_as_a_header_or_by_the_form(guarded: PageClient) -> None:
    assert guarded.get("v1/models", Authorization=f"Bearer {TOKEN}").status == 200
    assert guarded.get("v1/models", Authorization="Bearer wrong").status == 401
    status, cookie = sign_in(guarded, TOKEN)
    assert status == 200
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert "secure" not in cookie.lower()
    assert "path" not in cookie.lower()
    assert TOKEN not in cookie
    assert guarded.get("v1/models", Cookie=cookie.partition(";")[0]).status == 200
    name = cookie.partition("=")[0]
    assert guarded.get("v1/models", Cookie=f"{name}=wrong").status == 401


def test_behind_a_proxy_with_tls_the_cookie_is_sent_over_tls_only(guarded: PageClient) -> None:
    origin = {"Origin": "https://zfscope.example", "Host": "zfscope.example"}
    assert "secure" in sign_in(guarded, TOKEN, **origin)[1].lower()


@pytest.mark.parametrize(("token", "status"), [("wrong-but-long-enough", 401), ("", 400), ("%C3%A4", 401)])
def test_a_wrong_token_gets_no_cookie(guarded: PageClient, token: str, status: int) -> None:
    assert sign_in(guarded, token) == (status, "")


def test_beyond_loopback_a_token_and_tls_are_required(local: LocalClient, tmp_path: Path) -> None:
    def create(**settings: object) -> PageServer:
        return PageServer(local, PageSettings(listen="0.0.0.0:0", **settings), announce=print)  # type: ignore[arg-type]

    with pytest.raises(InputError, match=r"without TLS .* and client authentication \(token_file\);"):
        create()
    with pytest.raises(InputError, match="without TLS"):
        create(token=TOKEN)
    create(allow_insecure=True).close()


def test_the_page_speaks_tls_and_marks_its_cookie(local: LocalClient, tmp_path: Path) -> None:
    files = issue_certificates(tmp_path)
    with running_page(local, token=TOKEN, tls_certificate=files.certificate, tls_key=files.key) as page:
        assert page.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(files.ca))
        connection = HTTPSConnection(*page.address, timeout=60, context=context)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/v1/session", f"token={TOKEN}", form)
        cookie = connection.getresponse().headers["set-cookie"]
        assert "secure" in cookie.lower()
        connection.close()


def test_answers_are_never_cached_and_files_of_the_page_are_revalidated(page: PageClient) -> None:
    assert page.get("v1/models").headers["cache-control"] == "no-store"
    static = page.get("").headers
    assert static["cache-control"] == "no-cache"
    assert page.get("", **{"If-None-Match": static["etag"]}).status == 304
