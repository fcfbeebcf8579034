"""`zfscope page`: options, settings, errors, and the end of a real process."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import COMMAND
from zfscope.client import Client, ClientMethods
from zfscope.local import LocalClient
from zfscope.page.settings import PageSettings, warn_about_unknown_variables

Run = Callable[..., Any]
Served = list[tuple[ClientMethods, PageSettings]]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    """Clients and settings of the pages that would have been started; a stub replaces the server."""
    started: Served = []

    def serve(client: ClientMethods, settings: PageSettings, *, announce: Callable[[str], object]) -> None:
        started.append((client, settings))
        announce("http://127.0.0.1:1/")

    monkeypatch.setattr("zfscope.page.serve.serve", serve)
    for name in ("keep_freed_memory", "release_freed_memory_at_rest"):  # would affect the tests' process
        monkeypatch.setattr(f"zfscope.cli.page.{name}", lambda *_: None)
    return started


def test_the_page_opens_the_store_in_its_own_process(run: Run, served: Served, store: Path) -> None:
    result = run("page")
    assert (result.code, result.stdout) == (0, "zfscope page is available at http://127.0.0.1:1/\n")
    ((client, settings),) = served
    assert isinstance(client, LocalClient)
    assert client.store.root == store
    assert settings.listen == "127.0.0.1:8080"


def test_the_browser_is_opened_on_request(run: Run, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    run("page")
    assert opened == []
    run("page", "--open")
    assert opened == ["http://127.0.0.1:1/"]


def test_options_become_settings(run: Run, served: Served, tmp_path: Path) -> None:
    files = ["tls-certificate", "tls-key", "token-file"]
    options = [part for name in files for part in (f"--{name}", tmp_path / name)]
    names = ["--public-host", "a.example", "--public-host", "b.example:8443"]
    run("page", "--listen", "0.0.0.0:0", "--model", "tiny", *names, "--allow-insecure", *options)
    ((_, settings),) = served
    assert (settings.listen, settings.model, settings.allow_insecure) == ("0.0.0.0:0", "tiny", True)
    assert settings.public_hosts == ("a.example", "b.example:8443")
    assert [getattr(settings, name.replace("-", "_")) for name in files] == [
        tmp_path / name for name in files
    ]


def test_a_model_that_the_store_lacks_is_an_error_at_start(run: Run, served: Served) -> None:
    for options, env in [(["--model", "tinny"], {}), ([], {"ZFSCOPE_PAGE_MODEL": "tinny"})]:
        result = run("page", *options, env=env)
        assert (result.code, result.stdout, served) == (2, "", [])
        assert result.stderr.startswith("zfscope: model 'tinny' not found")
        assert "available: tiny" in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_model_that_the_service_lacks_is_an_error_at_start(run: Run, served: Served, server: str) -> None:
    result = run("page", "--server", server, "--model", "tinny")
    assert (result.code, served) == (2, [])
    assert result.stderr.startswith("zfscope: model 'tinny' not found")
    run("page", "--server", server, "--model", "tiny")
    assert len(served) == 1


def test_a_service_that_does_not_answer_at_start_is_not_asked_for_the_model(
    run: Run, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    result = run("page", "--server", "127.0.0.1:1", "--model", "tinny")
    assert (result.code, len(served)) == (0, 1)
    (message,) = caplog.messages
    assert message.startswith("model 'tinny' was not checked: ")


def test_settings_without_an_option_come_from_the_environment(run: Run, served: Served) -> None:
    hosts = json.dumps(["zfscope.example"])
    run("page", env={"ZFSCOPE_PAGE_WORKERS": "2", "ZFSCOPE_PAGE_PUBLIC_HOSTS": hosts})
    ((_, settings),) = served
    assert (settings.workers, settings.public_hosts) == (2, ("zfscope.example",))


def test_the_connection_to_a_service_has_options_of_its_own(run: Run, served: Served, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    result = run("page", "--server", "localhost:1", "--server-token-file", token)
    assert result.code == 0, result.stderr
    ((client, settings),) = served
    assert isinstance(client, Client)
    assert settings.token_file is None
    result = run("page", "--server", "elsewhere.example:1", "--server-token-file", token)
    assert "a token is not sent to 'elsewhere.example:1' without TLS" in result.stderr


@pytest.mark.parametrize(
    ("options", "env", "message"),
    [
        (["--listen", "nowhere"], {}, "zfscope: listen is 'nowhere': "),
        ([], {"ZFSCOPE_PAGE_WORKERS": "0"}, "zfscope: workers is '0': "),
        (["--public-host", "https://a.example"], {}, "zfscope: public_hosts is "),
        (["--store", "nowhere"], {}, "zfscope: no model store at 'nowhere': no such folder"),
        (["--server", "h:1", "--indexes", "x"], {}, "zfscope: --indexes cannot be combined with --server"),
    ],
)
def test_an_invalid_setting_is_reported_in_one_line(
    run: Run, served: Served, options: list[str], env: dict[str, str], message: str
) -> None:
    result = run("page", *options, env=env)
    assert (result.code, result.stdout, served) == (2, "", [])
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def test_without_the_extra_the_command_names_it() -> None:
    program = (
        "import sys; sys.modules['fastapi'] = None\n"
        "from zfscope.cli import main; sys.argv = ['zfscope', 'page']; main()"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == "zfscope: the page needs zfscope[page]: pip install 'zfscope[page]'\n"


def test_an_unknown_variable_of_the_page_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ZFSCOPE_PAGE_WORKER", "2")
    warn_about_unknown_variables()
    assert caplog.messages == ["unknown variable ZFSCOPE_PAGE_WORKER ignored; nearest: ZFSCOPE_PAGE_WORKERS"]


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_page_with_code_0(store: Path, number: signal.Signals) -> None:
    command = [COMMAND, "page", "--listen", "127.0.0.1:0", "--store", store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as page:
        assert page.stdout
        url = page.stdout.readline().split()[-1]
        assert urllib.request.urlopen(f"{url}healthz").read() == b"ok\n"
        page.send_signal(number)
        _, stderr = page.communicate(timeout=60)
    assert (page.returncode, stderr) == (0, "")


def test_a_port_in_use_is_reported_in_one_line(run: Run, server: str) -> None:
    result = run("page", "--listen", server)
    assert result.code == 2
    assert result.stderr == f"zfscope: cannot listen on {server}: it is in use; choose another address\n"
