"""The limit of open files: raised as far as allowed, and shared by connections and files."""

import resource

import pytest

from zfscope import open_files
from zfscope.open_files import connection_limit, raise_open_file_limit


def test_the_open_files_limit_is_raised_and_part_of_it_reserved_for_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = [(256, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))
    monkeypatch.setattr(open_files, "count_open_files", lambda: 40)
    assert connection_limit() == 256 - 40 - 48
    raise_open_file_limit()
    assert limits[-1] == (4096, 4096)
    assert connection_limit() == 4096 - 40 - 48
    limits.append((50, 50))
    assert connection_limit() == 16
    limits.append((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    raise_open_file_limit()
    assert limits[-1] == (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert connection_limit() == 1 << 20


def test_a_limit_that_cannot_be_raised_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", fail)
    raise_open_file_limit()
