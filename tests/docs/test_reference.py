"""The generated reference is complete: whatever the code defines is on its page."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pydantic_settings import BaseSettings
from typer.testing import CliRunner

import zfscope
from tests.support.pages import ROOT
from tests.support.site import Site, broken_links
from zfscope import plugin
from zfscope.analysis.registry import load_analyzers
from zfscope.bulk import tables as bulk_tables
from zfscope.bulk.manifest import RunManifest
from zfscope.cli.app import COMMANDS, app
from zfscope.cli.command import make_command, with_parameters
from zfscope.cli.run import run_options
from zfscope.client import Access
from zfscope.errors import ZfscopeError
from zfscope.inference import inference_pb2
from zfscope.local import LocalClient
from zfscope.page.application import create_application
from zfscope.page.settings import PageSettings
from zfscope.probe.features import ROW_COLUMNS
from zfscope.probe.manifest import ROWS, FeatureManifest, ProbeResult
from zfscope.scan import tables as scan_tables
from zfscope.server.settings import Settings
from zfscope.server.telemetry.metrics import Metrics
from zfscope.v1 import analysis_pb2, classification_pb2, image_pb2, model_pb2, tensor_pb2, warning_pb2
from zfscope.wire.http_status import HTTP_STATUSES

PROTOS = (
    *(analysis_pb2, classification_pb2, image_pb2, model_pb2, tensor_pb2, warning_pb2),
    inference_pb2,
)
# Names of messages in a section's heading are followed by the text of its link to itself.
LINK_TEXT = "¶"


def test_every_link_and_target_of_the_site_exists(site: Site) -> None:
    assert broken_links(site.pages()) == []


@pytest.mark.parametrize("name", [*COMMANDS, *(f"analyze {name}" for name in load_analyzers())])
def test_every_option_of_a_command_is_in_the_reference(name: str, site: Site) -> None:
    section = site.page("reference/commands").sections[f"zfscope-{name.replace(' ', '-')}"]

    shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "500"}).output

    listed = [line.split()[0].rstrip(",") for line in shown.splitlines() if line.startswith("  -")]
    assert "--help" in shown
    assert [option for option in listed if option not in section] == []


def test_every_option_of_runs_is_in_the_reference(site: Site) -> None:
    section = site.page("reference/commands").sections["zfscope-run-name"]
    command = make_command(with_parameters(lambda **_: None, *run_options()), "run")
    flags = {flag for option in command.params for flag in option.opts if flag.startswith("--")}
    assert {"--pictures", "--engine", "--out"} <= flags
    assert [flag for flag in sorted(flags) if flag not in section] == []


@pytest.mark.parametrize("model", [Settings, PageSettings, Access])
def test_every_setting_is_in_the_reference(model: type[BaseSettings], site: Site) -> None:
    text = site.page("reference/settings").text
    prefix = model.model_config.get("env_prefix", "")

    for name, field in model.model_fields.items():
        assert f"{prefix}{name.upper()} " in text
        assert (field.description or "").replace("`", "") in text


def test_every_metric_is_in_the_reference(site: Site) -> None:
    text = site.page("reference/metrics").text
    exposed = generate_latest(Metrics().registry).decode()

    names = [
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in text_string_to_metric_families(exposed)
    ]

    own = [name for name in names if name.startswith(("grpc_", "zfscope_")) and not name.endswith("_created")]
    assert len(own) > 5
    assert [name for name in own if f"{name} " not in text] == []


def test_every_rpc_is_in_the_reference(site: Site) -> None:
    page = site.page("reference/rpcs")
    services = [service for proto in PROTOS for service in proto.DESCRIPTOR.services_by_name.values()]

    for service in services:
        assert page.sections[service.full_name.replace(".", "-").lower()].startswith(service.full_name)
        for method in service.methods:
            assert f"{method.name}{LINK_TEXT} {method.input_type.name} → " in page.text
            assert {method.input_type.full_name, method.output_type.full_name} <= page.ids


def test_every_field_of_every_message_is_in_the_reference(site: Site) -> None:
    page = site.page("reference/rpcs")

    for message in _messages():
        assert message.full_name in page.ids
        _, _, following = page.html.partition(f'id="{message.full_name}"')
        section = following.split("<section ")[1]
        assert [field.name for field in message.fields if f">{field.name}<" not in section] == []


def _messages() -> Iterator[Any]:
    """Yield the messages, those nested in others too, except the entries of maps."""
    pending = [message for proto in PROTOS for message in proto.DESCRIPTOR.message_types_by_name.values()]
    while pending:
        message = pending.pop()
        if not message.GetOptions().map_entry:
            yield message
        pending += message.nested_types


def test_every_http_path_is_in_the_reference(site: Site) -> None:
    text = site.page("reference/http").text
    application, state = create_application(LocalClient(ROOT / "model_store"), PageSettings())
    state.close()

    routes = [
        route for route in application.routes if isinstance(route, APIRoute) and route.include_in_schema
    ]

    assert len(routes) > 10
    for route in routes:
        for method in route.methods:
            assert f"{method} {route.path.lstrip('/')}{LINK_TEXT}" in text


def test_every_error_class_is_in_the_reference(site: Site) -> None:
    text, api = site.page("reference/errors").text, site.page("reference/python")

    for kind in [ZfscopeError, *_subclasses(ZfscopeError)]:
        if kind.__module__ == "zfscope.errors":
            assert f" {kind.__name__} " in text
            assert f"zfscope.{kind.__name__}" in api.ids
    assert [reason for reason in HTTP_STATUSES if f"{reason}" not in text] == []


def _subclasses(kind: type) -> Iterator[type]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


def test_every_public_name_is_in_the_reference(site: Site) -> None:
    names = {f"zfscope.{name}" for name in zfscope.__all__}
    methods = {f"zfscope.client.methods.CommonMethods.{name}" for name in ("classify", "project", "analyze")}

    assert names | methods <= site.page("reference/python").ids
    text = site.page("reference/plugin").text
    own = [name for name in plugin.__all__ if not isinstance(getattr(zfscope, name, None), type)]
    assert [name for name in own if name not in text] == []


def test_every_column_and_member_of_the_file_formats_is_in_the_reference(site: Site) -> None:
    page = site.page("reference/files")

    for name, columns in {**scan_tables.TABLES, **bulk_tables.TABLES, ROWS: ROW_COLUMNS}.items():
        section = page.sections[name.replace(".", "-")]
        assert [column for column in columns.names if f" {column} " not in section] == []
    manifests = {"run-json": RunManifest, "probe-json": ProbeResult, "features-json": FeatureManifest}
    for name, manifest in manifests.items():
        section = page.sections[name]
        assert [member for member in manifest.model_fields if f" {member} " not in section] == []
    recipe = tomllib.loads((ROOT / "service/zfscope/training/recipes/modern.toml").read_text())
    assert [member for member in recipe if f" {member} " not in page.sections["training-recipe"]] == []
