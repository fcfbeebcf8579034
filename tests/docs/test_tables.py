"""Tables of the documentation match the code."""

import re
import tomllib

from tests.support.pages import ROOT
from zfscope.cli.app import COMMANDS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def column(page: str, header: str, index: int = 0) -> list[str]:
    """Return the cells of one column of the table with this header, on a page of docs/."""
    table = (ROOT / "docs" / page).read_text().partition(header)[2].partition("\n\n")[0]
    return [row.split("|")[index + 1] for row in table.splitlines()[2:]]


def code_spans(cells: list[str]) -> set[str]:
    """Return the code spans in table cells."""
    return set(re.findall(r"`([^`]+)`", " ".join(cells)))


def test_the_table_of_commands_is_complete() -> None:
    assert code_spans(column("reference/command-line.md", "| command | purpose |")) == set(COMMANDS)


def test_the_table_of_extras_is_complete() -> None:
    assert code_spans(column("how-to/installation.md", "| extra | adds |")) == set(EXTRAS) - {"engine", "dev"}


def test_every_dependency_is_explained() -> None:
    page = (ROOT / "docs" / "reference" / "dependencies.md").read_text()
    shown = [
        *PROJECT["dependencies"],
        *(need for extra in set(EXTRAS) - {"dev", "demo"} for need in EXTRAS[extra]),
    ]
    names = {re.split(r"[<>=\[]", need)[0] for need in shown} - {
        "zfscope",
        "opentelemetry-exporter-otlp-proto-grpc",
    }
    assert [name for name in sorted(names) if name.removeprefix("grpcio") not in page] == []
