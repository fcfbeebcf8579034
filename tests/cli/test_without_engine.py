"""Modules that commands import, and the command line without the extra `engine`."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperCommand

from tests.support.without_engine import run_commands_without_engine, run_without_engine
from zfscope.cli.app import COMMANDS
from zfscope.errors import MissingExtra
from zfscope.extras import ENGINE_MODULES, engine_needed

MESSAGE = "this needs zfscope[cpu]: pip install 'zfscope[cpu]'"
PROJECT = Path(__file__).parents[2] / "pyproject.toml"
# Modules of the engine, without those that grpc itself imports if they are installed.
ENGINE = {*ENGINE_MODULES, "onnxruntime", "ray"} - {"grpc_channelz", "grpc_reflection"}
HEAVY = {*ENGINE, "grpc", "numpy", "pydantic", "rich", "PIL"}

IMPORTED = """
import json, sys
from zfscope.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
# Modules of a connection to a service, which an analysis in this process does not need.
SERVICE = ("grpc", "asyncio", "pydantic_settings")


def imported(*arguments: object, env: dict[str, str]) -> set[str]:
    """Run a command in a separate process and return the modules that it imported."""
    result = subprocess.run(
        [sys.executable, "-c", IMPORTED, *map(str, arguments)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return set(json.loads(result.stderr.splitlines()[-1]))


def test_the_help_imports_no_command_and_no_heavy_module(environment: dict[str, str]) -> None:
    modules = imported("--help", env=environment)
    assert not modules & HEAVY
    assert not modules & {entry.target.partition(":")[0] for entry in COMMANDS.values()}


def test_the_page_of_a_service_imports_nothing_from_the_engine() -> None:
    program = "import json, sys, zfscope.client, zfscope.page.serve; print(json.dumps(list(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    of_fastapi = {"opentelemetry"}  # its API, which records nothing by itself
    assert not set(json.loads(result.stdout)) & ENGINE - of_fastapi


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_of_a_command_is_the_first_sentence_of_its_help(name: str) -> None:
    command, length = COMMANDS[name].load(name), 10_000
    expected = TyperCommand(name, help=COMMANDS[name].summary)
    assert command.name == name
    assert expected.get_short_help_str(length) == command.get_short_help_str(length)


def test_a_misspelt_command_suggests_the_closest_one(run: Any) -> None:
    result = run("clasify")
    assert result.code == 2
    assert "No such command 'clasify'. Did you mean 'classify'?" in result.stderr


def test_classifying_locally_imports_onnx_runtime_but_not_torch(
    environment: dict[str, str], photo: Path
) -> None:
    cold = imported("classify", photo, "--json", env=environment)  # exports the graph first
    assert {"onnx", "onnxruntime"} <= cold
    assert not cold & {"torch", "scipy", "skimage", "matplotlib", "pyarrow", "jinja2", *SERVICE}
    warm = imported("classify", photo, "--json", env=environment)
    assert not warm & {"torch", "onnx", "scipy", "skimage", "matplotlib", "pyarrow", "jinja2", *SERVICE}


def test_calling_a_service_imports_no_module_of_the_engine(
    environment: dict[str, str], photo: Path, server: str
) -> None:
    modules = imported("classify", photo, "--server", server, env=environment)
    assert not modules & ENGINE
    assert "grpc" in modules


def test_commands_can_call_a_service_without_the_engine(
    environment: dict[str, str], photo: Path, server: str, tmp_path: Path
) -> None:
    remote, out = ("--server", server, "--json"), tmp_path / "out"
    classified, folder, projected, analyzed, models, health, analyzers = run_commands_without_engine(
        [
            ("classify", photo, *remote),
            ("classify", photo.parent, "--server", server),
            ("project", photo, "--layer", "conv3", "--top", 1, "--out", out, *remote),
            ("analyze", "occlude", photo, "--layer", "conv2", "--out", out, *remote),
            ("models", *remote),
            ("health", *remote),
            ("analyzers", *remote),
        ],
        env=environment,
    )
    for result in (classified, folder, projected, analyzed, models, health, analyzers):
        assert (result.code, result.stderr) == (0, "")
    assert json.loads(classified.stdout)["model"] == "tiny"
    assert "1 photo, by tiny version 2" in folder.stdout
    assert Path(json.loads(projected.stdout)["sheet"]).is_file()
    assert all(Path(file).is_file() for file in json.loads(analyzed.stdout)["files"])
    assert [model["version"] for model in json.loads(models.stdout)["models"]] == [2, 1]
    assert json.loads(health.stdout)["status"] == "SERVING"
    assert "occlude" in analyzers.stdout


def test_local_commands_without_the_engine_name_the_package_to_install(
    environment: dict[str, str], photo: Path, tmp_path: Path
) -> None:
    commands = [
        ("classify", photo),
        ("project", photo, "--out", tmp_path / "out"),
        ("analyze", "project", photo),
        ("analyzers",),
        ("models",),
        ("models", "export", "tiny", "--format", "onnx"),
        ("models", "fetch", "squeezenet-imagenet"),
        ("models", "import", "net.onnx", "--name", "net"),
        ("serve", "--listen", "127.0.0.1:0"),
        ("index", photo.parent),
        ("run", "occlude", photo.parent, "--out", tmp_path / "out"),
        ("probe", photo.parent, "--out", tmp_path / "out"),
        ("train", photo.parent),
        ("evaluate", photo.parent),
        ("gallery", photo.parent),
        ("top-k", "--layer", "conv1"),
        ("evolve", "--layer", "conv1"),
        ("compare", photo, "--models", "tiny,tiny"),
    ]
    nowhere = {
        **environment,
        "ZFSCOPE_STORE": str(tmp_path / "nowhere"),
    }  # as on a machine without the engine
    for command, result in zip(commands, run_commands_without_engine(commands, env=nowhere), strict=True):
        assert result == (2, "", f"zfscope: {MESSAGE}\n"), command


def test_the_help_of_every_command_works_without_the_engine(environment: dict[str, str]) -> None:
    commands = [(name, "--help") for name in COMMANDS]
    for command, result in zip(commands, run_commands_without_engine(commands, env=environment), strict=True):
        assert (result.code, result.stderr) == (0, ""), command


def test_the_python_clients_work_without_the_engine_and_other_names_report_it(
    photo: Path, server: str
) -> None:
    program = """
from zfscope import AsyncClient, Box, Cancellation, Client, MissingExtra
import zfscope
photo, server = sys.argv[1:]
with Client(server) as client:
    print(client.classify(photo).model, client.project(photo, layer="conv1", top=1).sheet.image().size[0] > 0)
for name in ("LocalClient", "open_store"):
    try:
        getattr(zfscope, name)
    except ImportError as error:
        print(type(error) is MissingExtra, error)
try:
    from zfscope import LocalClient
except MissingExtra as error:
    print(error)
"""
    printed = run_without_engine(program, str(photo), server).splitlines()
    assert printed == ["tiny True", f"True {MESSAGE}", f"True {MESSAGE}", MESSAGE]


def test_a_missing_module_of_another_package_is_not_a_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError) as raised, engine_needed():
        raise ModuleNotFoundError("No module named 'zfscope_blur'", name="zfscope_blur")
    assert not isinstance(raised.value, MissingExtra)
    with pytest.raises(MissingExtra, match=re.escape(MESSAGE)), engine_needed():
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")


def normalised(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_the_engine_modules_match_the_extra() -> None:
    requirements = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]["engine"]
    extra = {re.split(r"[<>=]", requirement)[0] for requirement in requirements}
    packages = packages_distributions()
    providers = {module: {normalised(name) for name in packages[module]} & extra for module in ENGINE_MODULES}
    assert all(providers.values()), providers
    assert set().union(*providers.values()) == extra
