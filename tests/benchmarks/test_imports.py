"""Every benchmark and example can be imported; no test runs them completely."""

from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    f"{folder}.{path.stem}" for folder in ("benchmarks", "examples") for path in (ROOT / folder).glob("*.py")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_module_can_be_imported(name: str) -> None:
    import_module(name)
