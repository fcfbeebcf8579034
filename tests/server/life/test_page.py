"""A page whose service is killed and restarted recovers by itself."""

import signal
from collections.abc import Callable

from tests.support.page_server import running_page
from tests.support.service_process import ServiceProcess, wait_until
from zfscope.client import Client


def test_a_page_survives_a_restart_of_its_service(
    start_process: Callable[..., ServiceProcess], photo: bytes
) -> None:
    service = start_process()
    with Client(service.address) as client, running_page(client) as page:
        known = page.request("POST", "v1/photos", photo).json["photo"]
        expected = page.post("v1/classify", {"photo": known}).json
        assert page.get("v1/session").json["model"] == expected["model"]

        service.send(signal.SIGKILL)
        service.wait()

        answer = page.post("v1/classify", {"photo": known})
        assert (answer.status, answer.error["reason"]) == (503, "NOT_READY")
        assert answer.headers["retry-after"] == "1"
        assert page.get("v1/health").status == 503
        assert page.get("v1/session").json["model"] is None
        assert page.get("healthz").status == 200

        service.start()

        wait_until(lambda: page.get("v1/health").status == 200, "the page reaches its service again")
        assert page.post("v1/classify", {"photo": known}).json == expected
