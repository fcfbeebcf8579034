"""The environment of the analyses of a run: one analyzer and one model, in any process."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from zfscope.analysis.registry import RegisteredAnalyzer, Registry, load_analyzers
from zfscope.analysis.trace_cache import TraceCache, trace_cache
from zfscope.errors import NotFound, RuntimeUnavailable
from zfscope.images.limits import DecodeLimits, environment_limits
from zfscope.runtimes import LoadedModel, Runtime
from zfscope.store import Model, ModelStore


@dataclass(frozen=True, eq=False)
class SingleModelHost:
    """Host of the analyses of one analyzer by one model; see `AnalysisHost`. It may be pickled.

    create_runtime: creates the runtime of the forward passes, in each process anew. analyzer, package: name
    of the analyzer and of its package with the version; another process must have the same. others: names of
    the analyzers that it runs.
    """

    model: Model
    store: ModelStore
    create_runtime: Callable[[Model], Runtime]
    analyzer: str
    package: str
    others: tuple[str, ...] = ()
    image_limits: DecodeLimits = field(default_factory=environment_limits)
    max_passes: int | None = None

    def __getstate__(self) -> dict[str, object]:
        """Pickle the fields, without what is loaded in each process."""
        loaded = ("registry", "loaded", "trace_cache")
        return {name: value for name, value in vars(self).items() if name not in loaded}

    @cached_property
    def registry(self) -> Registry:
        """The analyzer, and those that it runs.

        Raises RuntimeUnavailable if one is missing here, or if the analyzer is of another version.
        """
        try:
            registry = load_analyzers([self.analyzer, *self.others])
            installed = registry.registered(self.analyzer).package
        except NotFound:
            installed = "none"
        if installed != self.package:
            message = f"machine '{socket.gethostname()}' has analyzer '{self.analyzer}' of {installed}"
            raise RuntimeUnavailable(
                f"{message} (not {self.package}); install the same version there as here"
            )
        return registry

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model with its runtime."""
        return LoadedModel(self.model, self.create_runtime(self.model))

    @cached_property
    def trace_cache(self) -> TraceCache:
        """Traces of recent photos, and the control networks that analyses share."""
        return trace_cache()

    def load_model(self, name: str, version: int | None) -> LoadedModel:
        """Return the model of the run, whatever the name."""
        return self.loaded

    def warm_up(self) -> RegisteredAnalyzer:
        """Load everything before several threads need it, and return the analyzer."""
        self.loaded.build_network()
        _ = self.trace_cache
        return self.registry.registered(self.analyzer)
