"""The cache of exported graphs: atomic writes, verification, and operation without a cache."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from zfscope.runtimes.onnx.cache import cached_graph, default_cache


class Exporter:
    """Counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> bytes:
        self.calls += 1
        return b"graph"


@pytest.fixture
def export() -> Exporter:
    return Exporter()


def unexpected() -> bytes:
    raise AssertionError("the graph is cached; it must not be exported again")


def test_a_graph_is_exported_once(tmp_path: Path, export: Exporter) -> None:
    first = cached_graph(tmp_path / "new" / "cache", "key", export)
    assert isinstance(first, Path)
    assert first.read_bytes() == b"graph"
    assert cached_graph(tmp_path / "new" / "cache", "key", unexpected) == first
    assert list(first.parent.iterdir()) == [first]


def test_a_different_key_is_a_different_graph(tmp_path: Path, export: Exporter) -> None:
    assert cached_graph(tmp_path, "key1", export) != cached_graph(tmp_path, "key2", export)
    assert export.calls == 2


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"G" + data[1:], lambda _: b""])
def test_a_damaged_graph_is_exported_again(
    tmp_path: Path, export: Exporter, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path = cached_graph(tmp_path, "key", export)
    assert isinstance(path, Path)
    path.write_bytes(damage(path.read_bytes()))
    assert cached_graph(tmp_path, "key", export) == path
    assert path.read_bytes() == b"graph"
    assert f"cached graph '{path}' is damaged; exporting it again" in caplog.text


def test_a_damaged_graph_with_a_different_hash_is_removed(tmp_path: Path, export: Exporter) -> None:
    stray = tmp_path / f"key.{'0' * 64}.onnx"
    stray.write_bytes(b"half of a gra")
    assert cached_graph(tmp_path, "key", export) != stray
    assert not stray.exists()


def test_an_entry_that_cannot_be_removed_is_logged_and_skipped(
    tmp_path: Path, export: Exporter, caplog: pytest.LogCaptureFixture
) -> None:
    stray = tmp_path / f"key.{'0' * 64}.onnx"
    stray.mkdir()
    assert isinstance(cached_graph(tmp_path, "key", export), Path)
    assert f"cannot remove '{stray}'" in caplog.text


def test_a_cache_that_is_not_writable_is_logged_and_the_graph_returned(
    tmp_path: Path, export: Exporter, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        assert cached_graph(tmp_path / "file", "key", export) == b"graph"
    assert f"the exported graph is not cached: '{tmp_path / 'file'}' cannot be written" in caplog.text


def test_an_interrupted_write_leaves_nothing_in_the_cache(
    tmp_path: Path, export: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cached_graph(tmp_path, "key", export)
    assert list(tmp_path.iterdir()) == []


def test_the_default_cache_is_in_the_cache_directory_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "zfscope" / "onnx"


@pytest.mark.parametrize("result", [RuntimeError("no home"), Path("~/.cache/zfscope")])
def test_a_user_without_a_home_directory_has_no_cache(
    monkeypatch: pytest.MonkeyPatch, result: RuntimeError | Path
) -> None:
    def user_cache_path(name: str) -> Path:
        if isinstance(result, RuntimeError):
            raise result
        return result

    monkeypatch.setattr("platformdirs.user_cache_path", user_cache_path)
    assert default_cache() is None
    assert cached_graph(None, "key", lambda: b"graph") == b"graph"
