"""docs/life-of-a-call.md: the tests that it names exist, and its times match the defaults."""

import re

import pytest

from tests.support.service_process import ROOT
from zfscope.client import channel
from zfscope.server.settings import Settings

PAGE = (ROOT / "docs" / "life-of-a-call.md").read_text()
NAMED_TESTS = sorted(set(re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED_TESTS)
def test_every_test_named_on_the_page_exists(file: str, test: str) -> None:
    path = ROOT / file if "/" in file else ROOT / "tests" / "server" / "life" / file

    assert f"def {test}(" in path.read_text() if test else path.exists()


def test_every_test_of_the_folder_is_named_on_the_page() -> None:
    files = (ROOT / "tests" / "server" / "life").glob("test_*.py")
    tests = {
        name for path in files for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    tests_of_this_module = set(
        re.findall(r"^def (test_\w+)", (ROOT / "tests/server/life/test_page.py").read_text(), re.MULTILINE)
    )

    assert tests - tests_of_this_module <= {test for _, test in NAMED_TESTS}


def test_the_times_on_the_page_match_the_defaults() -> None:
    settings = Settings()

    assert channel.KEEPALIVE_S + channel.KEEPALIVE_TIMEOUT_S == 40
    assert settings.keepalive_s + settings.keepalive_timeout_s == 80
    assert (settings.lame_duck_s, settings.grace_s, settings.max_deadline_s) == (3, 30, 900)
    assert (settings.max_idle_s, channel.CONNECT_S) == (300, 5)
