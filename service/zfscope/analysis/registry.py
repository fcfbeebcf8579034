"""Registry of installed analyzers: discovered by entry points, loaded once and validated."""

import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import BaseModel

from zfscope.analysis.contract import API_VERSION, Analyzer
from zfscope.analysis.faults import describe_exception, translate_exceptions
from zfscope.analysis.needs import Need
from zfscope.analysis.reserved import GROUP, RESERVED
from zfscope.errors import BrokenPlugin, NotFound
from zfscope.validation import nearest_name

_NAME = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True)
class RegisteredAnalyzer:
    """An analyzer with the name and version of its distribution."""

    analyzer: Analyzer[Any]
    distribution: str
    version: str

    @property
    def name(self) -> str:
        """The analyzer's name."""
        return self.analyzer.name

    @property
    def package(self) -> str:
        """Name and version of the distribution, for messages."""
        return f"{self.distribution} {self.version}".strip() or "unknown package"


class Registry(Mapping[str, RegisteredAnalyzer]):
    """Analyzers by name, sorted."""

    def __init__(self, registered: Iterable[RegisteredAnalyzer]) -> None:
        self._by_name = {
            entry.analyzer.name: entry for entry in sorted(registered, key=lambda entry: entry.analyzer.name)
        }

    def __getitem__(self, name: str) -> RegisteredAnalyzer:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def analyzer(self, name: str) -> Analyzer[Any]:
        """Return an analyzer. Raises NotFound, listing the available names."""
        return self.registered(name).analyzer

    def registered(self, name: str) -> RegisteredAnalyzer:
        """Return an analyzer with its distribution. Raises NotFound, listing the available names."""
        if name not in self._by_name:
            known = ", ".join(self._by_name) or "none"
            nearest = nearest_name(name, tuple(self))
            raise NotFound(f"analyzer '{name}' not found; available: {known}{nearest}", field="analyzer")
        return self._by_name[name]


def load_analyzers(allowed: Collection[str] = (), *, points: Iterable[EntryPoint] | None = None) -> Registry:
    """Import the installed analyzers and validate them.

    allowed: names to load; others are not imported. Empty: all. points: entry points; by default those
    of the group `zfscope.analyzers`.
    Raises BrokenPlugin, naming the analyzer, distribution and version, for one that cannot be imported, has
    a duplicate name or violates the contract; NotFound for an allowed name that is not installed.
    """
    points = list(entry_points(group=GROUP) if points is None else points)
    missing = sorted(set(allowed) - {point.name for point in points})
    if missing:
        known = ", ".join(sorted(point.name for point in points)) or "none"
        raise NotFound(f"analyzer '{missing[0]}' is not installed; available: {known}", field="analyzers")
    chosen = [point for point in points if not allowed or point.name in allowed]
    _check_names(chosen)
    return Registry(_load(point) for point in chosen)


def _check_names(points: Iterable[EntryPoint]) -> None:
    by_name: dict[str, EntryPoint] = {}
    for point in points:
        if point.name in by_name:
            raise _broken(
                point, f"the name is also used by {_origin(by_name[point.name])}; uninstall one of them"
            )
        by_name[point.name] = point


def _load(point: EntryPoint) -> RegisteredAnalyzer:
    with _translate_errors(point, f"{point.value} cannot be loaded"):
        analyzer = point.load()()
    with _translate_errors(point, f"{point.value} cannot be inspected"):
        fault = next(_faults(analyzer, point.name), "")
    if fault:
        raise _broken(point, fault)
    distribution = point.dist
    return RegisteredAnalyzer(
        analyzer,
        distribution.name if distribution else "",
        distribution.version if distribution else "",
    )


@contextmanager
def _translate_errors(point: EntryPoint, failure: str) -> Iterator[None]:
    """Translate any exception of an analyzer's code, including SystemExit, into BrokenPlugin."""
    with translate_exceptions(lambda error: _broken(point, f"{failure}: {describe_exception(error)}")):
        yield


def _faults(analyzer: Any, name: str) -> Iterator[str]:
    """Yield a message for each violation of the contract."""
    version = getattr(analyzer, "api_version", None)
    if version != API_VERSION:
        yield (
            f"api_version is {version!r}; this zfscope requires version {API_VERSION}: "
            f"import only from zfscope.plugin and set api_version = {API_VERSION}"
        )
    if not _NAME.fullmatch(name) or getattr(analyzer, "name", None) != name:
        actual = getattr(analyzer, "name", None)
        yield f"name is {actual!r}; it must equal the entry point's name: lower case, digits and hyphens"
    if not isinstance(getattr(analyzer, "summary", None), str):
        yield "summary is missing; describe in one line what the analyzer shows"
    yield from _params_faults(getattr(analyzer, "params", None))
    if not _is_range(getattr(analyzer, "photos", None)):
        yield "photos must be the minimum and maximum number of photos, such as (1, 1)"
    yield from _needs_faults(getattr(analyzer, "needs", ()))
    for method, arguments in (("cost", ("model", "params")), ("analyze", ("context", "params"))):
        if not _takes(getattr(analyzer, method, None), len(arguments)):
            yield f"{method} must be a method with the arguments ({', '.join(arguments)})"


def _params_faults(params: Any) -> Iterator[str]:
    if not (isinstance(params, type) and issubclass(params, BaseModel)):
        yield f"params is {params!r}; it must be a pydantic model class"
        return
    try:
        names = params.model_json_schema().get("properties", {})
    except Exception as error:  # a custom schema may raise anything
        yield f"params is {params!r}, which has no JSON schema: {type(error).__name__}: {error}"
        return
    for name in names:
        if name.replace("-", "_") in RESERVED:
            reserved = ", ".join(RESERVED)
            yield f"a parameter is named '{name}', an option of every analyzer; reserved names: {reserved}"


def _needs_faults(needs: Any) -> Iterator[str]:
    if not isinstance(needs, Collection) or not all(isinstance(need, Need) for need in needs):
        members = ", ".join(f"Need.{need}" for need in Need)
        yield f"needs is {needs!r}; it must be a collection of members of zfscope.plugin.Need: {members}"


def _is_range(photos: Any) -> bool:
    return (
        isinstance(photos, tuple)
        and len(photos) == 2
        and all(isinstance(count, int) for count in photos)
        and 0 <= photos[0] <= photos[1]
    )


def _takes(method: Any, count: int) -> bool:
    if not callable(method):
        return False
    try:
        inspect.signature(method).bind(*range(count))
    except TypeError:
        return False
    return True


def _broken(point: EntryPoint, fault: str) -> BrokenPlugin:
    return BrokenPlugin(f"analyzer '{point.name}' of {_origin(point)}: {fault}", field="analyzers")


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else f"'{point.value}'"
