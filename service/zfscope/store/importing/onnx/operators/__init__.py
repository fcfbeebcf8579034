"""What each ONNX operator means as layers, in one table; a module per kind of operator fills it."""

from zfscope.store.importing.onnx.operators import (  # noqa: F401  # they register their operators
    activations,
    arithmetic,
    linear,
    normalisation,
    views,
    windows,
)
from zfscope.store.importing.onnx.operators.call import OPERATORS, Call, Value

__all__ = ["OPERATORS", "Call", "Value"]
