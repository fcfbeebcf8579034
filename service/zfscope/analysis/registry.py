"""The analyzers that are installed: found by entry points, loaded once, and refused when they do not fit."""

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
from zfscope.analysis.reserved import GROUP, RESERVED
from zfscope.errors import BrokenPlugin, NotFound

_NAME = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True)
class RegisteredAnalyzer:
    """An analyzer, and the distribution that brought it, with its version."""

    analyzer: Analyzer[Any]
    distribution: str
    version: str

    @property
    def name(self) -> str:
        """The analyzer's name."""
        return self.analyzer.name

    @property
    def package(self) -> str:
        """Name the distribution and its version, for people."""
        return f"{self.distribution} {self.version}".strip() or "of no package"


class Registry(Mapping[str, RegisteredAnalyzer]):
    """The analyzers by name, in order."""

    def __init__(self, registered: Iterable[RegisteredAnalyzer]) -> None:
        self._by_name = {
            found.analyzer.name: found for found in sorted(registered, key=lambda found: found.analyzer.name)
        }

    def __getitem__(self, name: str) -> RegisteredAnalyzer:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def analyzer(self, name: str) -> Analyzer[Any]:
        """Return an analyzer. Raises NotFound, with the names that there are."""
        return self.registered(name).analyzer

    def registered(self, name: str) -> RegisteredAnalyzer:
        """Return an analyzer with its package. Raises NotFound, with the names that there are."""
        if name not in self._by_name:
            known = ", ".join(self._by_name) or "none"
            raise NotFound(f"no analyzer '{name}'; there are {known}", field="analyzer")
        return self._by_name[name]


def load_analyzers(allowed: Collection[str] = (), *, found: Iterable[EntryPoint] | None = None) -> Registry:
    """Import the analyzers that are installed and check that they fit.

    allowed: the names to load, and no other is even imported; empty means all. found: entry points to
    load, those of the group `zfscope.analyzers` by default.
    Raises BrokenPlugin, with name, distribution and version, for one that cannot be imported, has a name
    that is taken, or does not fit the contract; NotFound for an allowed name that is not installed.
    """
    points = list(entry_points(group=GROUP) if found is None else found)
    missing = sorted(set(allowed) - {point.name for point in points})
    if missing:
        known = ", ".join(sorted(point.name for point in points)) or "none"
        raise NotFound(f"no analyzer '{missing[0]}' is installed; there are {known}", field="analyzers")
    chosen = [point for point in points if not allowed or point.name in allowed]
    _check_names(chosen)
    return Registry(_load(point) for point in chosen)


def _check_names(points: Iterable[EntryPoint]) -> None:
    seen: dict[str, EntryPoint] = {}
    for point in points:
        if point.name in seen:
            raise _broken(point, f"the name is taken by {_origin(seen[point.name])}; leave one of them out")
        seen[point.name] = point


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
    """Translate every exception of an analyzer's own code, `sys.exit` included, into BrokenPlugin."""
    with translate_exceptions(lambda error: _broken(point, f"{failure}: {describe_exception(error)}")):
        yield


def _faults(analyzer: Any, name: str) -> Iterator[str]:
    """Yield what does not fit the contract, in words."""
    version = getattr(analyzer, "api_version", None)
    if version != API_VERSION:
        yield (
            f"api_version is {version!r}; this zfscope has version {API_VERSION} of the contract: "
            f"import from zfscope.plugin alone, and state api_version = {API_VERSION}"
        )
    if not _NAME.fullmatch(name) or getattr(analyzer, "name", None) != name:
        given = getattr(analyzer, "name", None)
        yield f"name is {given!r}; it has to be that of the entry point, of lower case, digits and hyphens"
    if not isinstance(getattr(analyzer, "summary", None), str):
        yield "summary is missing; say in one line what the analyzer shows"
    yield from _params_faults(getattr(analyzer, "params", None))
    if not _is_range(getattr(analyzer, "photos", None)):
        yield "photos has to be the fewest and the most photos, such as (1, 1)"
    for method, arguments in (("cost", ("model", "params")), ("analyze", ("context", "params"))):
        if not _takes(getattr(analyzer, method, None), len(arguments)):
            yield f"{method} has to be a method of ({', '.join(arguments)})"


def _params_faults(params: Any) -> Iterator[str]:
    if not (isinstance(params, type) and issubclass(params, BaseModel)):
        yield f"params is {params!r}; it has to be a pydantic model class"
        return
    try:
        names = params.model_json_schema().get("properties", {})
    except Exception as error:  # pydantic's own, and whatever a schema that somebody wrote raises
        yield f"params is {params!r}, which has no JSON schema: {type(error).__name__}: {error}"
        return
    for name in names:
        if name.replace("-", "_") in RESERVED:
            reserved = ", ".join(RESERVED)
            yield f"a parameter is called '{name}', which is an option of all analyzers; reserved: {reserved}"


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
