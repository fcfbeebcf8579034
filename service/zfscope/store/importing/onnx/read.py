"""Reading an ONNX file in a child process with limits of memory and time."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import safetensors.numpy

from zfscope.errors import InputError
from zfscope.networks.network import Network, network_with_weights
from zfscope.networks.spec import NetworkSpec
from zfscope.processors import usable_cpus
from zfscope.store.importing.imported import OpaqueNetwork
from zfscope.store.importing.onnx.options import (
    CPU_S,
    GRAPH,
    NETWORK,
    TOO_MUCH_MEMORY,
    WEIGHTS,
    ReadOptions,
)
from zfscope.store.manifest import OpaqueGraph

NetworkT = TypeVar("NetworkT", bound=Network | OpaqueNetwork)

_OPAQUE_HINT = (
    "; or import it as a whole with --opaque: projections are not available then, other analyses are"
)


@dataclass(frozen=True, eq=False)
class OnnxReading(Generic[NetworkT]):
    """A network read from an ONNX file.

    tensors: number of tensors compared with the original graph, for one random image; of an opaque network,
    number of its tensors compared between batches of several images and of one. difference: the largest, as
    a fraction of the largest value of its tensor.
    """

    network: NetworkT
    tensors: int
    difference: float


def read_onnx(
    path: Path, *, name: str, size: int | None = None, output: str = "", cpu_s: int = CPU_S
) -> OnnxReading[Network]:
    """Read an ONNX file as a network. Blocks for seconds, up to minutes for large files.

    name: of the network. size: rows and columns of its images, if the graph leaves them open. output: the
    output that holds the class scores, if there are several. cpu_s: limit of processor time, in seconds; the
    limit of elapsed time is twice as long. Raises InputError, naming the node and what to do, for a file that
    cannot be read as a network.
    """
    with _read_in_child(path, ReadOptions(name, size, output, cpu_s=cpu_s)) as (folder, report):
        spec = NetworkSpec.model_validate_json((folder / NETWORK).read_bytes())
        arrays = safetensors.numpy.load((folder / WEIGHTS).read_bytes())
    network = network_with_weights(spec, arrays)
    return OnnxReading(network, int(report["tensors"]), float(report["difference"]))


def read_opaque(
    path: Path, *, name: str, size: int | None = None, output: str = "", cpu_s: int = CPU_S
) -> OnnxReading[OpaqueNetwork]:
    """Read an ONNX file as an opaque network: a graph that ONNX Runtime runs as a whole. Blocks.

    Its tensors of maps, tokens or units are the layers. The batch dimension is made free and checked against
    batches of one image. Arguments are those of `read_onnx`. Raises InputError for control flow, operators
    other than ONNX's own, external data, and outputs that are not class scores or maps.
    """
    options = ReadOptions(name, size, output, opaque=True, cpu_s=cpu_s)
    with _read_in_child(path, options) as (folder, report):
        spec = NetworkSpec.model_validate_json((folder / NETWORK).read_bytes())
        network = OpaqueNetwork(
            spec, (folder / GRAPH).read_bytes(), OpaqueGraph.model_validate(report["graph"])
        )
    return OnnxReading(network, int(report["tensors"]), float(report["difference"]))


@contextmanager
def _read_in_child(path: Path, options: ReadOptions) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the folder with what the child wrote, and its report. Raises InputError."""
    with tempfile.TemporaryDirectory(prefix="zfscope-") as folder:
        report = _run_child(path, Path(folder), options)
        if "error" in report:
            hint = _OPAQUE_HINT if report.get("unreadable") else ""
            raise InputError(f"'{path}' cannot be imported: {report['error']}{hint}", field="file")
        yield Path(folder), report


def _run_child(path: Path, folder: Path, options: ReadOptions) -> Mapping[str, Any]:
    if not path.is_file():
        reason = "it is a folder; give the ONNX file in it" if path.is_dir() else "no such file"
        raise InputError(f"'{path}' cannot be read: {reason}", field="file")
    command = [sys.executable, "-m", "zfscope.store.importing.onnx.child", str(path), str(folder)]
    try:
        done = subprocess.run(  # noqa: S603  # our own module, in this interpreter
            [*command, json.dumps(asdict(options))],
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * options.cpu_s,
            env={**os.environ, "OMP_NUM_THREADS": str(usable_cpus()), "TMPDIR": str(folder)},
        )
    except subprocess.TimeoutExpired:
        return {"error": f"reading it takes more than {2 * options.cpu_s} seconds"}
    if done.returncode == -signal.SIGXCPU:
        return {"error": f"reading it takes more than {options.cpu_s} seconds of processor time"}
    return _report(done.stdout) or {"error": _failure(done)}


def _report(output: str) -> Mapping[str, Any]:
    """Return the report in the child's last line of output; empty without one."""
    try:
        report = json.loads((output.splitlines() or [""])[-1])
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _failure(done: "subprocess.CompletedProcess[str]") -> str:
    """Return why the child ended without a report."""
    detail = (done.stderr.strip().splitlines() or [""])[-1]
    if "bad_alloc" in done.stderr or "MemoryError" in done.stderr or "Cannot allocate" in done.stderr:
        return TOO_MUCH_MEMORY
    reason = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return f"the process that reads it failed ({reason}): {detail}"
