"""The dashboard queries existing metrics and labels."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from zfscope.server.protos import METHODS_BY_PATH
from zfscope.server.telemetry.metrics import Metrics

OBSERVABILITY = Path(__file__).parents[2] / "observability"
PANELS = json.loads((OBSERVABILITY / "grafana" / "dashboards" / "zfscope.json").read_text())["panels"]
EXPRESSIONS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]

_PROMETHEUS_LABELS = {"le", "job", "instance"}


@pytest.fixture(scope="module")
def exposed_labels() -> dict[str, set[str]]:
    """The labels of every sample that a service exposes after some calls."""
    metrics = Metrics()
    for method in METHODS_BY_PATH.values():
        metrics.record_start(method)
        metrics.record_end(method, "OK", seconds=0.1, failure="BUSY")
    metrics.record_wait("readers", 0.1)
    metrics.record_pass("tiny", 1, images=3, seconds=0.1)
    labels_by_name: dict[str, set[str]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            labels_by_name.setdefault(sample.name, set()).update(sample.labels)
    return labels_by_name


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_panels_query_existing_metrics_and_labels(
    title: str, expression: str, exposed_labels: dict[str, set[str]]
) -> None:
    names = re.findall(r"(?:grpc_server|zfscope|process)_\w+", expression)
    used = [*re.findall(r"by \(([^)]*)\)", expression), *re.findall(r"[{,]\s*(\w+)\s*[!=]", expression)]
    labels = {label.strip() for group in used for label in group.split(",")} - _PROMETHEUS_LABELS

    assert names
    for name in names:
        assert name in exposed_labels
        assert labels <= exposed_labels[name], title


def test_sums_keep_the_labels_named_in_legends() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            by: Any = re.findall(r"by \(([^)]*)\)", target["expr"])
            kept = {label.strip() for group in by for label in group.split(",")} | {"instance"}
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept, panel["title"]


def test_every_metric_of_zfscope_is_on_a_panel(exposed_labels: dict[str, set[str]]) -> None:
    shown = " ".join(expression for _, expression in EXPRESSIONS)
    stems = {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in exposed_labels}

    assert [stem for stem in stems if stem.startswith(("grpc_", "zfscope_")) and stem not in shown] == []


def test_panels_have_unique_ids_and_positions() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in PANELS}) == len(PANELS)
