"""nginx in front of a page, under a path of its own, configured by docker/page.nginx."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.page.conftest import photo_file
from tests.support.nginx import Nginx
from tests.support.page_server import PageClient, running_page
from zfscope.local import LocalClient

LOCATION = Path(__file__).parents[2] / "docker" / "page.nginx"
NAME = "zfscope.example.org"


@pytest.fixture(scope="module")
def behind_proxy(local: LocalClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageClient]:
    """A page behind nginx; its address ends in /zfscope/."""
    with running_page(local, public_hosts=(NAME,)) as page:
        location = LOCATION.read_text().replace("127.0.0.1:8080", "{}:{}".format(*page.address))
        with closing(Nginx(tmp_path_factory.mktemp("nginx"), location)) as proxy:
            proxy.start()
            yield PageClient(f"http://{proxy.address}/zfscope/", page.server)


def own(page: PageClient) -> dict[str, str]:
    """Return the headers of a browser that reached the page by its public name."""
    return {"Host": NAME, "Origin": f"https://{NAME}"}


def test_the_page_and_its_description_are_below_the_path(behind_proxy: PageClient) -> None:
    assert b"<title>ZFScope" in behind_proxy.get("zfscope/", Host=NAME).body
    assert behind_proxy.get("zfscope/openapi.json", Host=NAME).json["servers"] == [{"url": "."}]
    assert behind_proxy.get("zfscope/docs", Host=NAME).status == 200
    assert behind_proxy.get("zfscope/healthz").body == b"ok\n"


def test_a_photo_is_analyzed_and_its_pictures_are_found_by_their_links(behind_proxy: PageClient) -> None:
    headers = own(behind_proxy)
    photo = behind_proxy.upload("zfscope/v1/photos", ("photo", photo_file()), **headers).json["photo"]
    members = {"photo": photo, "layer": "conv2", "top": 1}
    sheet = behind_proxy.post("zfscope/v1/project", members, **headers).json["sheet"]
    assert behind_proxy.get(f"zfscope/{sheet['url']}", **headers).body.startswith(b"\x89PNG")


def test_events_and_large_photos_pass_the_proxy(behind_proxy: PageClient) -> None:
    headers = own(behind_proxy)
    large = photo_file(size=(1200, 900))
    assert len(large) > 3_000_000
    body = behind_proxy.upload(
        "zfscope/v1/occlude",
        ("photo", large),
        ("parameters", json.dumps({"window": 16, "stride": 8})),
        **headers,
        Accept="text/event-stream",
    ).body
    assert b"event: result\n" in body


def test_a_request_of_another_site_is_rejected_behind_the_proxy(behind_proxy: PageClient) -> None:
    answer = behind_proxy.get("zfscope/v1/models", Host=NAME, Origin="https://other.example")
    assert answer.status == 403
