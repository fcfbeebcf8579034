"""The package zfscope-captum: installed by pip in a fresh environment beside zfscope."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.examples.conftest import CHECKOUT, ZFSCOPE, Run

EXAMPLE = CHECKOUT / "examples" / "zfscope-captum"
METHODS = {
    "captum-deep-lift",
    "captum-feature-ablation",
    "captum-gradient-shap",
    "captum-guided-grad-cam",
    "captum-integrated-gradients",
    "captum-kernel-shap",
    "captum-layer-grad-cam",
}


@pytest.fixture(scope="module")
def example(copy_example: Callable[[Path], Path]) -> Path:
    """A copy of the package's folder, outside the checkout."""
    return copy_example(EXAMPLE)


@pytest.fixture(scope="module")
def run(install: Callable[[Path], Run], example: Path) -> Run:
    """Runs Python in the fresh environment, with the package installed, and returns stdout."""
    return install(example)


def test_its_methods_are_listed_and_its_guide_names_them_all(run: Run) -> None:
    listed = {info["name"]: info for info in json.loads(run(ZFSCOPE, "analyzers", "--json"))["analyzers"]}
    assert {name for name in listed if name.startswith("captum-")} == METHODS
    assert {listed[name]["distribution"] for name in METHODS} == {"zfscope-captum"}
    guide = (EXAMPLE / "README.md").read_text()
    assert set(re.findall(r"^\| `(captum-[a-z-]+)`", guide, flags=re.MULTILINE)) == METHODS


def test_the_command_of_the_guide_writes_picture_and_attribution(run: Run, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    Image.fromarray(np.random.default_rng(7).integers(0, 256, (48, 60, 3), dtype=np.uint8)).save(photo)
    (line,) = re.findall(r"^zfscope (analyze .*)$", (EXAMPLE / "README.md").read_text(), flags=re.MULTILINE)
    printed = json.loads(run(ZFSCOPE, *line.split(), "--tensors", "--json", cwd=tmp_path))
    assert sorted(printed["files"]) == [
        f"seen/photo-{name}" for name in ("attribution.npy", "captum.npy", "integrated-gradients.png")
    ]
    attribution, values = (np.load(tmp_path / f"seen/photo-{name}.npy") for name in ("attribution", "captum"))
    np.testing.assert_allclose(attribution, values.sum(0), atol=1e-6)
    difference = printed["numbers"]["score"] - printed["numbers"]["baseline_score"]
    assert printed["numbers"]["total"] == pytest.approx(difference + printed["numbers"]["completeness_gap"])


def test_its_own_tests_pass_where_it_is_installed(run: Run, example: Path) -> None:
    printed = run("-m", "pytest", "-p", "no:cacheprovider", ".", cwd=example / "tests")
    assert re.search(r"\d+ passed in", printed)


def test_it_passes_the_contract_tests_of_all_analyzers(run: Run) -> None:
    contract = CHECKOUT / "tests" / "analyzers" / "test_contract.py"
    hooks = "ignore:Setting:UserWarning"  # Captum says that it registers some
    printed = run(
        "-m", "pytest", "-p", "no:cacheprovider", "-W", hooks, "-k", "captum", contract, cwd=CHECKOUT
    )
    assert re.search(r"\d+ passed, \d+ deselected in", printed)
