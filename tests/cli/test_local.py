"""Third-party analyzers, run by a command in its own process."""

import json
import re
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from zfscope.analysis import registry
from zfscope.analysis.reserved import GROUP, RESERVED
from zfscope.errors import NotFound
from zfscope.results import Analysis, Table

Run = Callable[..., Any]


class Params(BaseModel):
    """No parameters."""


# Message about a failed analyzer.
FAILURE = (
    "analyzer 'odd' (zfscope-odd 1.2) failed: {}; this is a bug in the package "
    "(set ZFSCOPE_TRACEBACK=1 to see the traceback)\n"
)


class Distribution:
    """The part of a distribution that zfscope reads."""

    name, version = "zfscope-odd", "1.2"


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Installs an analyzer `odd` of zfscope-odd 1.2 that returns the result of a function."""

    def install(make_result: Callable[[], Any]) -> None:
        class Odd:
            name = "odd"
            summary = "A part of a test"
            api_version = 2
            photos = (1, 1)
            params = Params

            def cost(self, model: Any, params: Params) -> int:
                return 1

            def analyze(self, context: Any, params: Params) -> Any:
                return make_result()

        module = ModuleType("odd_analyzers")
        vars(module)["Odd"] = Odd
        monkeypatch.setitem(sys.modules, "odd_analyzers", module)
        point = EntryPoint("odd", "odd_analyzers:Odd", GROUP)
        vars(point)["dist"] = Distribution()
        monkeypatch.setattr(registry, "entry_points", lambda group: [*entry_points(group=group), point])

    return install


def test_analyzers_are_listed_with_their_packages(run: Run, install: Callable[..., None]) -> None:
    install(Analysis)
    listed = {info["name"]: info for info in json.loads(run("analyzers", "--json").stdout)["analyzers"]}
    packages = {name: (info["distribution"], info["version"]) for name, info in listed.items()}
    assert packages["project"] == ("zfscope", version("zfscope"))
    assert packages["odd"] == ("zfscope-odd", "1.2")
    assert re.search(r"odd +│ zfscope-odd 1\.2 +│ +1 │ A part of a test", run("analyzers").stdout)


def test_numpy_numbers_are_printed_as_json(
    run: Run, photo: Path, install: Callable[..., None], tmp_path: Path
) -> None:
    rows = ((np.float32(0.5), np.int64(3)),)
    install(lambda: Analysis(numbers={"mean": np.float32(0.25)}, tables={"t": Table(("a", "b"), rows)}))
    result = run("analyze", "odd", photo, "--json", "--out", tmp_path / "out")
    assert result.code == 0
    answer = json.loads(result.stdout)
    assert (answer["numbers"], answer["tables"]) == ({"mean": 0.25}, {"t": [{"a": 0.5, "b": 3}]})


def test_a_value_that_json_lacks_is_an_error(
    run: Run, photo: Path, install: Callable[..., None], tmp_path: Path
) -> None:
    install(lambda: Analysis(tables={"t": Table(("a",), ((float("nan"),),))}))
    result = run("analyze", "odd", photo, "--json", "--out", tmp_path / "out")
    assert (result.code, result.stdout) == (2, "")
    fault = "BadAnalysis: 'a' in row 0 of the table 't' is nan, which is not finite"
    assert result.stderr == f"zfscope: {FAILURE.format(fault)}"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (FileNotFoundError(2, "No such file", "w.npy"), "FileNotFoundError: [Errno 2] No such file: 'w.npy'"),
        (RuntimeError("in\ntwo lines"), "RuntimeError: in two lines"),
        (SystemExit(0), "SystemExit: 0"),
        (GeneratorExit("x"), "GeneratorExit: x"),
    ],
)
def test_a_failed_analyzer_is_reported_with_its_package_in_one_line(
    run: Run, photo: Path, install: Callable[..., None], error: BaseException, fault: str
) -> None:
    def fail() -> Any:
        raise error

    install(fail)
    result = run("analyze", "odd", photo, "--json")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == f"zfscope: {FAILURE.format(fault)}"


def test_a_failure_in_the_parameters_of_an_analyzer_is_reported_with_its_package(
    run: Run, photo: Path, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(Analysis)
    monkeypatch.setattr(Params, "model_validate", lambda *_, **options: {}["level"])
    result, fault = run("analyze", "odd", photo), "KeyError: 'level'"
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == f"zfscope: {FAILURE.format(fault)}"


def test_an_input_error_of_an_analyzer_is_not_reported_as_a_bug(
    run: Run, photo: Path, install: Callable[..., None]
) -> None:
    def refuse() -> Any:
        raise NotFound("no such label", field="label")

    install(refuse)
    result = run("analyze", "odd", photo)
    assert (result.code, result.stdout, result.stderr) == (2, "", "zfscope: no such label\n")


def test_the_reserved_names_are_the_options_common_to_all_analyzers(
    run: Run, install: Callable[..., None]
) -> None:
    install(Analysis)
    shown = [run(command, "odd", "--help").stdout for command in ("analyze", "run")]
    assert "PHOTO" in shown[0]
    assert "DATA" in shown[1]
    options = {option.replace("-", "_") for text in shown for option in re.findall("--([a-z-]+)", text)}
    assert {"photos", *options} == set(RESERVED)
