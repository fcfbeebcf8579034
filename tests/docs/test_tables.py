"""Tables of the documentation match the code."""

import re
import tomllib

import pytest

from tests.support.pages import ROOT
from zfscope.cli.app import COMMANDS
from zfscope.page.settings import PageSettings
from zfscope.server.settings import Settings
from zfscope.server.telemetry.metrics import Metrics
from zfscope.v1 import analysis_pb2, classification_pb2, model_pb2
from zfscope.wire.http_status import HTTP_STATUSES

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
UNITS = {" MiB": 1 << 20, " million": 1_000_000, "": 1}


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


def test_the_table_of_metrics_is_complete() -> None:
    metrics = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in Metrics().registry.collect()
        if metric.name.startswith(("grpc_", "zfscope_"))
    }
    assert code_spans(column("how-to/monitoring.md", "| metric | labels |")) == metrics


def test_the_table_of_rpcs_is_complete() -> None:
    rows = column("how-to/other-languages.md", "| service | RPCs |", 1)
    files = (model_pb2, classification_pb2, analysis_pb2)
    services = [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]
    for service, row in zip(services, rows, strict=False):
        assert code_spans([row]) == {method.name for method in service.methods}


# Pages with a table of settings, and the settings that it lists.
_SETTINGS = {"how-to/serving.md": Settings, "how-to/http.md": PageSettings}
_ROWS = [(page, row) for page in _SETTINGS for row in range(len(column(page, "| setting | default |")))]


@pytest.mark.parametrize(("page", "row"), _ROWS)
def test_the_documented_default_of_a_setting_is_correct(page: str, row: int) -> None:
    names = re.findall(r"`([A-Z_]+)`", column(page, "| setting | default |")[row])
    shown = [text.strip() for text in column(page, "| setting | default |", 1)[row].split(", ")]
    settings = _SETTINGS[page]()
    for name, default in zip(names, shown, strict=True):
        number, unit = re.fullmatch(r"([\d.]+|`\{\}`)( \w+)?", default).groups(default="")  # type: ignore[union-attr]
        value = getattr(settings, name.lower())
        assert value == ({} if number == "`{}`" else float(number) * UNITS[unit])


def test_every_setting_of_the_page_is_documented() -> None:
    section = (ROOT / "docs" / "how-to" / "http.md").read_text().partition("## Settings")[2]
    assert code_spans([section]) >= {name.upper() for name in PageSettings.model_fields}


def test_the_documented_statuses_of_errors_are_complete() -> None:
    statuses = [cell.strip() for cell in column("how-to/http.md", "| status | reason |")]
    reasons = [code_spans([row]) for row in column("how-to/http.md", "| status | reason |", 1)]
    shown = dict(zip(statuses, reasons, strict=True))
    assert [reason for reason, status in HTTP_STATUSES.items() if reason not in shown[str(status)]] == []
