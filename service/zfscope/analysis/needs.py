"""What analyzers need of a model, and why one cannot run with a model."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from zfscope.analysis.classification import no_classes_reason
from zfscope.errors import InputError
from zfscope.store import Manifest, opaque_reason

if TYPE_CHECKING:
    from zfscope.analysis.contract import Analyzer


class Need(StrEnum):
    """A part of a model that an analyzer needs.

    network: a list of layers to walk, as a torch network with weights. scores: class scores. outputs: outputs
    of layers, as `Context.trace_layers` returns them.
    """

    network = "network"
    scores = "scores"
    outputs = "outputs"


# For each need, how it is called and a function that returns why a model lacks it, empty if it does not.
_LACKS: Mapping[Need, tuple[str, Callable[[Manifest], str]]] = {
    Need.network: ("a network of layers to walk", opaque_reason),
    Need.scores: ("class scores", no_classes_reason),
    Need.outputs: ("outputs of layers", lambda _: ""),
}


def needs_of(analyzer: "Analyzer[Any]") -> tuple[Need, ...]:
    """Return the needs that an analyzer declares, in the order of `Need`; by default, a network."""
    declared = getattr(analyzer, "needs", (Need.network,))
    return tuple(need for need in Need if need in declared)


def unavailable_reason(analyzer: "Analyzer[Any]", manifest: Manifest) -> str:
    """Return in one sentence why an analyzer cannot run with a model; empty if it can."""
    for need in needs_of(analyzer):
        called, reason_of = _LACKS[need]
        if reason := reason_of(manifest):
            return f"'{analyzer.name}' needs {called}; {manifest.title} {reason}"
    return ""


def check_available(analyzer: "Analyzer[Any]", manifest: Manifest, *, field: str) -> None:
    """Raise InputError, naming a field, if an analyzer cannot run with a model."""
    if reason := unavailable_reason(analyzer, manifest):
        raise InputError(reason, field=field)
