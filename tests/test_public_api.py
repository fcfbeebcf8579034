"""The public API is complete, and importing it loads no compute libraries."""

import subprocess
import sys

import zfscope
from zfscope import errors, plugin

LOADED = "import sys, zfscope; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def test_every_error_is_public() -> None:
    classes = {name for name, kind in vars(errors).items() if isinstance(kind, type)}

    assert {name for name in classes if issubclass(getattr(errors, name), errors.ZfscopeError)} <= set(
        zfscope.__all__
    )


def test_every_name_of_the_plugin_api_exists() -> None:
    assert all(getattr(plugin, name) is not None for name in plugin.__all__)


def test_importing_zfscope_loads_no_compute_libraries() -> None:
    loaded = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)

    assert {"torch", "grpc", "numpy", "onnxruntime", "PIL"}.isdisjoint(loaded.stdout.split())
