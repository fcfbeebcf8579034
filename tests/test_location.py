"""Search for the model store."""

from pathlib import Path

import pytest

from zfscope import location
from zfscope.errors import NotFound
from zfscope.location import find_store, find_target_store
from zfscope.store import ModelStore


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout without models, and a current folder without models."""
    current, checkout = tmp_path / "current", tmp_path / "checkout"
    current.mkdir()
    checkout.mkdir()
    monkeypatch.chdir(current)
    monkeypatch.setattr(location, "_checkout", lambda: checkout)
    return checkout


def test_a_named_store_takes_precedence(checkout: Path, tmp_path: Path) -> None:
    (checkout / "model_store").mkdir()
    assert find_store(tmp_path) == tmp_path


def test_a_missing_named_store_does_not_fall_back_to_another(checkout: Path) -> None:
    (checkout / "model_store").mkdir()
    with pytest.raises(NotFound, match="no model store at 'nowhere': no such folder"):
        find_store(Path("nowhere"))


def test_a_store_that_is_a_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for find in (find_store, ModelStore):
        with pytest.raises(NotFound, match=r"no model store at '.*/file': not a folder"):
            find(tmp_path / "file")


def test_the_store_in_the_current_folder_takes_precedence_over_the_checkout(checkout: Path) -> None:
    (checkout / "model_store").mkdir()
    Path("model_store").mkdir()
    assert find_store(None) == Path.cwd() / "model_store"


def test_the_store_of_the_checkout_is_found_from_anywhere(checkout: Path) -> None:
    (checkout / "model_store").mkdir()
    assert find_store(None) == checkout / "model_store"


def test_the_error_without_a_store_lists_the_searched_folders_and_the_option(checkout: Path) -> None:
    with pytest.raises(NotFound) as caught:
        find_store(None)
    assert str(Path.cwd() / "model_store") in str(caught.value)
    assert str(checkout / "model_store") in str(caught.value)
    assert "--store or ZFSCOPE_STORE" in str(caught.value)


def test_the_checkout_is_the_root_of_this_repository() -> None:
    assert (location._checkout() / "service" / "zfscope" / "location.py").is_file()


def test_models_are_added_to_the_store_that_is_read(checkout: Path) -> None:
    assert find_target_store(None) == Path("model_store")  # there is none yet

    (checkout / "model_store").mkdir()
    assert find_target_store(None) == checkout / "model_store"
    assert find_target_store(Path("other")) == Path("other")

    Path("model_store").mkdir()
    assert find_target_store(None) == Path.cwd() / "model_store"
