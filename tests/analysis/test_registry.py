"""Registration of analyzers, and messages for invalid ones."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Never

import pytest
from pydantic import BaseModel, Field, create_model

from zfscope.analysis.needs import Need
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.reserved import GROUP, RESERVED
from zfscope.errors import BrokenPlugin, NotFound


class Params(BaseModel):
    level: int = 3


class Callback(BaseModel):
    on_end: Callable[[], None] | None = None


class Good:
    name = "good"
    summary = "Does nothing"
    api_version = 2
    photos = (1, 2)
    params = Params

    def cost(self, model: Any, params: Params) -> int:
        return 1

    def analyze(self, context: Any, params: Params) -> Any:
        return None


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of analyzers, importable as `some_plugins`."""
    module = ModuleType("some_plugins")
    module.Good = Good  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "some_plugins", module)
    return module


class FakeDistribution:
    """The part of a distribution that zfscope reads."""

    def __init__(self, name: str, version: str) -> None:
        self.name, self.version = name, version


def entry(name: str = "good", value: str = "some_plugins:Good", package: str = "zfscope-good") -> EntryPoint:
    point = EntryPoint(name, value, "zfscope.analyzers")
    vars(point).update(dist=FakeDistribution(package, "1.2"))
    return point


def test_an_analyzer_is_registered_by_name_with_its_distribution() -> None:
    registry = load_analyzers(points=[entry()])
    assert list(registry) == ["good"]
    assert isinstance(registry.analyzer("good"), Good)
    assert (registry["good"].distribution, registry["good"].version) == ("zfscope-good", "1.2")
    assert registry.registered("good").package == "zfscope-good 1.2"


def test_an_analyzer_without_a_distribution_is_registered() -> None:
    point = EntryPoint("good", "some_plugins:Good", "zfscope.analyzers")
    assert load_analyzers(points=[point])["good"].package == "unknown package"


def test_built_in_analyzers_are_loaded_from_the_same_entry_points() -> None:
    registry = load_analyzers()
    assert registry["project"].distribution == "zfscope"


def test_an_unknown_name_is_reported_with_the_available_ones() -> None:
    with pytest.raises(NotFound, match="analyzer 'bad' not found; available: good") as refusal:
        load_analyzers(points=[entry()]).analyzer("bad")
    assert refusal.value.field == "analyzer"


def test_only_allowed_analyzers_are_imported() -> None:
    broken = entry("broken", "missing_module:Nothing")
    assert list(load_analyzers(["good"], points=[entry(), broken])) == ["good"]


def test_an_allowed_analyzer_that_is_not_installed_prevents_the_start() -> None:
    with pytest.raises(NotFound, match="analyzer 'occlude' is not installed; available: good"):
        load_analyzers(["occlude"], points=[entry()])


def test_two_analyzers_with_the_same_name_prevent_the_start_and_both_packages_are_named() -> None:
    with pytest.raises(
        BrokenPlugin, match=r"'good' of other 1\.2: the name is also used by zfscope-good 1\.2"
    ):
        load_analyzers(points=[entry(), entry(package="other")])


def test_a_plugin_that_cannot_be_imported_prevents_the_start_and_is_named() -> None:
    with pytest.raises(BrokenPlugin, match=r"'gone' of zfscope-good 1\.2: .*ModuleNotFoundError.*no_module"):
        load_analyzers(points=[entry("gone", "no_module:Gone")])


def test_a_plugin_that_cannot_be_instantiated_prevents_the_start(plugins: ModuleType) -> None:
    class Greedy(Good):
        def __init__(self, weights: str) -> None: ...

    plugins.Greedy = Greedy  # type: ignore[attr-defined]
    with pytest.raises(BrokenPlugin, match=r"TypeError.*weights"):
        load_analyzers(points=[entry("good", "some_plugins:Greedy")])


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        (
            "api_version",
            1,
            "api_version is 1; this zfscope requires version 2: import only from",
        ),
        ("api_version", None, "api_version is None"),
        ("name", "better", "name is 'better'; it must equal the entry point"),
        ("summary", None, "summary is missing"),
        ("params", dict, "params is <class 'dict'>; it must be a pydantic model"),
        ("params", BaseModel, "params is <class '.*BaseModel'>, which has no JSON schema: AttributeError"),
        ("params", Callback, "params is <class '.*Callback'>, which has no JSON schema: PydanticInvalidFor"),
        ("photos", (2, 1), "photos must be the minimum and maximum"),
        ("photos", 1, "photos must be the minimum and maximum"),
        (
            "needs",
            {"networks"},
            r"needs is \{'networks'\}; it must be a collection of members of zfscope.plugin.Need: Need.net",
        ),
        ("needs", "network", "needs is 'network'; it must be a collection"),
        ("needs", Need.network, "needs is <Need.network: 'network'>; it must be a collection"),
        ("cost", 5, r"cost must be a method with the arguments \(model, params\)"),
        (
            "analyze",
            lambda self, context: None,
            r"analyze must be a method with the arguments \(context, params\)",
        ),
    ],
)
def test_an_analyzer_with_an_invalid_attribute_prevents_the_start(
    plugins: ModuleType, attribute: str, value: object, message: str
) -> None:
    plugins.Bad = type("Bad", (Good,), {attribute: value})  # type: ignore[attr-defined]
    with pytest.raises(BrokenPlugin, match=rf"'good' of zfscope-good 1\.2: {message}"):
        load_analyzers(points=[entry("good", "some_plugins:Bad")])


@pytest.mark.parametrize("name", ["Good", "good_one", "1st", "a b"])
def test_a_name_unsuitable_for_the_command_line_prevents_the_start(plugins: ModuleType, name: str) -> None:
    plugins.Bad = type("Bad", (Good,), {"name": name})  # type: ignore[attr-defined]
    with pytest.raises(BrokenPlugin, match="lower case, digits and hyphens"):
        load_analyzers(points=[entry(name, "some_plugins:Bad")])


@pytest.mark.parametrize("name", RESERVED)
def test_a_parameter_with_a_reserved_name_prevents_the_start(plugins: ModuleType, name: str) -> None:
    params = create_model("OtherParams", level=(int, 3), own=(int, Field(default=1, alias=name)))
    plugins.Bad = type("Bad", (Good,), {"params": params})  # type: ignore[attr-defined]
    message = (
        rf"'good' of zfscope-good 1\.2: a parameter is named '{name}'.*reserved names: {', '.join(RESERVED)}$"
    )
    with pytest.raises(BrokenPlugin, match=message) as refusal:
        load_analyzers(points=[entry("good", "some_plugins:Bad")])
    assert refusal.value.field == "analyzers"


def test_a_name_that_only_starts_like_a_reserved_one_is_allowed(plugins: ModuleType) -> None:
    params = create_model("OtherParams", model_layer=(int, 1), photo=(int, 1), json_path=(str, ""))
    plugins.Free = type("Free", (Good,), {"params": params})  # type: ignore[attr-defined]
    assert list(load_analyzers(points=[entry("good", "some_plugins:Free")])) == ["good"]


ENDINGS = [
    (SystemExit(3), "SystemExit: 3"),
    (GeneratorExit(), "GeneratorExit: "),
    (asyncio.CancelledError("x"), "CancelledError: x"),
    (BaseExceptionGroup("two", [SystemExit(1)]), r"BaseExceptionGroup: two \(1 sub-exception\)"),
]


@pytest.mark.parametrize(("raised", "message"), ENDINGS)
def test_an_analyzer_that_raises_an_exit_is_reported_as_broken(
    plugins: ModuleType, monkeypatch: pytest.MonkeyPatch, raised: BaseException, message: str
) -> None:
    def end(*_: object) -> Never:
        raise raised

    monkeypatch.setattr(plugins, "__getattr__", end, raising=False)  # at import
    with pytest.raises(
        BrokenPlugin,
        match=f"^analyzer 'good' of zfscope-good 1.2: some_plugins:Bad cannot be loaded: {message}$",
    ):
        load_analyzers(points=[entry(value="some_plugins:Bad")])
    for name, failure in (("__init__", "cannot be loaded"), ("summary", "cannot be inspected")):
        attributes = {"__init__": end} if name == "__init__" else {name: property(end)}
        plugins.Bad = type("Bad", (Good,), attributes)  # type: ignore[attr-defined]
        with pytest.raises(BrokenPlugin, match=f"some_plugins:Bad {failure}: {message}$"):
            load_analyzers(points=[entry(value="some_plugins:Bad")])


def test_an_exception_without_a_message_is_named_by_its_class(plugins: ModuleType) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise SystemExit

    def end(_: object) -> Never:
        raise Mute

    plugins.Bad = type("Bad", (Good,), {"__init__": end})  # type: ignore[attr-defined]
    with pytest.raises(BrokenPlugin, match=r"cannot be loaded: Mute \(its message cannot be read\)$"):
        load_analyzers(points=[entry(value="some_plugins:Bad")])


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_loading_analyzers_ends_the_command(plugins: ModuleType) -> None:
    def interrupted(_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    plugins.Bad = type("Bad", (Good,), {"__init__": interrupted})  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        load_analyzers(points=[entry(value="some_plugins:Bad")])


def test_a_keyboard_interrupt_counts_as_an_analyzer_bug_if_the_service_handles_ctrl_c(
    plugins: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(_: object) -> Never:
        raise KeyboardInterrupt

    plugins.Bad = type("Bad", (Good,), {"__init__": end})  # type: ignore[attr-defined]
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with pytest.raises(BrokenPlugin, match=r"cannot be loaded: KeyboardInterrupt: $"):
            load_analyzers(points=[entry(value="some_plugins:Bad")])
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_a_keyboard_interrupt_without_ctrl_c_is_the_analyzer_s(plugins: ModuleType) -> None:
    def end(_: object) -> Never:
        raise KeyboardInterrupt

    plugins.Bad = type("Bad", (Good,), {"__init__": end})  # type: ignore[attr-defined]
    with pytest.raises(BrokenPlugin, match=r"cannot be loaded: KeyboardInterrupt: $"):
        load_analyzers(points=[entry(value="some_plugins:Bad")])


def test_loading_the_analyzers_does_not_import_matplotlib() -> None:
    program = (
        "import sys; from zfscope.analysis.registry import load_analyzers; "
        "load_analyzers([{names}]); print('matplotlib' in sys.modules)"
    )
    own = [point.name for point in entry_points(group=GROUP) if point.value.startswith("zfscope_analyzers")]
    assert "invariance" in own
    command = [sys.executable, "-c", program.format(names=", ".join(map(repr, own)))]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
