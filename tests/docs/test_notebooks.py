"""Notebooks of the documentation run from top to bottom, and their stored outputs are true and small."""

from pathlib import Path

import nbformat
import pytest

from tests.support.notebooks import SETTINGS, differences, run_notebook
from tests.support.pages import NOTEBOOKS, ROOT, name_of


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_a_notebook_runs_and_its_outputs_are_the_stored_ones(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"ZFSCOPE_STORE": ROOT / "model_store", "HOME": tmp_path, "TMPDIR": tmp_path}
    for name, value in {**SETTINGS, **places, "OMP_NUM_THREADS": 1}.items():
        monkeypatch.setenv(name, str(value))
    stored = nbformat.read(path, as_version=4)
    assert differences(stored, run_notebook(path, tmp_path)) == [], "`make notebooks` stores new outputs"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_a_notebook_is_small(path: Path) -> None:
    assert path.stat().st_size < 400_000


def _notebook(text: str) -> nbformat.NotebookNode:
    output = nbformat.v4.new_output("stream", text=text)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(1)", outputs=[output])])


def test_a_stored_output_that_differs_is_reported() -> None:
    assert differences(_notebook("1\n"), _notebook("1\n")) == []
    assert differences(_notebook("2\n"), _notebook("1\n")) == ["print(1)\nstored:\n2\n\nnow:\n1\n"]
