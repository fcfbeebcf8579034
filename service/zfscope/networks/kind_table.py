"""Tables of functions by kind of layer."""

from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from zfscope.networks.layers import Layer

_L = TypeVar("_L", bound=Layer)
_P = ParamSpec("_P")
_R = TypeVar("_R")


class KindTable(dict[str, Callable[Concatenate[Any, _P], _R]], Generic[_P, _R]):
    """Functions by kind of layer, whose first argument is the layer."""

    def row(
        self, kind: type[_L]
    ) -> Callable[[Callable[Concatenate[_L, _P], _R]], Callable[Concatenate[_L, _P], _R]]:
        """Register the decorated function for a kind of layer."""

        def register(function: Callable[Concatenate[_L, _P], _R]) -> Callable[Concatenate[_L, _P], _R]:
            self[kind.model_fields["kind"].default] = function
            return function

        return register
