"""The process that reads a graph: `python -m zfscope.store.importing.onnx.child FILE FOLDER OPTIONS`.

A stranger's graph has constant parts that run while it is simplified, so memory and time are limited. Writes
the network to FOLDER, and a report as JSON to standard output: `tensors` and `difference` of the comparison,
and `graph` of an opaque network; or `error`, with `unreadable` if it is about a node that is not a layer.
"""

import json
import resource
import sys
from pathlib import Path

from zfscope.store.importing.onnx.options import GRAPH, NETWORK, TOO_MUCH_MEMORY, WEIGHTS, ReadOptions

# Limits of memory, in bytes: a base, and a multiple of the file's size, which is held several times.
_MEMORY_BASE = 3 * 2**30
_MEMORY_PER_BYTE = 12


def main() -> int:
    """Read the graph; return 1 if it cannot be imported."""
    file, folder, options = Path(sys.argv[1]), Path(sys.argv[2]), ReadOptions(**json.loads(sys.argv[3]))
    limit_resources(file.stat().st_size, options.cpu_s)
    read = _read_opaque if options.opaque else _read
    try:
        report: dict[str, object] = read(file, folder, options)
    except ValueError as error:
        report = {"error": str(error), "unreadable": type(error).__name__ == "UnreadableNode"}
    except MemoryError:
        report = {"error": TOO_MUCH_MEMORY}
    sys.stdout.write(json.dumps(report) + "\n")
    return int("error" in report)


def limit_resources(file_bytes: int, cpu_s: int) -> None:
    """Limit the memory of this process for a file of the given size, and its processor time, in seconds."""
    memory = _MEMORY_BASE + _MEMORY_PER_BYTE * file_bytes
    for kind, limit in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_CPU, cpu_s)):
        _, hard = resource.getrlimit(kind)
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (allowed, hard))


def _read(file: Path, folder: Path, options: ReadOptions) -> dict[str, object]:
    import safetensors.numpy

    from zfscope.store.importing.onnx.normalise import fix_input, normalise, to_float32
    from zfscope.store.importing.onnx.protobuf import read_model
    from zfscope.store.importing.onnx.reader import read_graph
    from zfscope.store.importing.onnx.verify import verify

    original = read_model(file)
    image = fix_input(original, options.size)
    to_float32(original)
    reading = read_graph(normalise(original), original, image, name=options.name, output=options.output)
    tensors, difference = verify(original, image, reading)
    (folder / NETWORK).write_text(reading.spec.model_dump_json(), encoding="utf-8")
    (folder / WEIGHTS).write_bytes(safetensors.numpy.save(dict(reading.weights)))
    return {"tensors": tensors, "difference": difference}


def _read_opaque(file: Path, folder: Path, options: ReadOptions) -> dict[str, object]:
    from zfscope.store.importing.onnx.opaque import read_opaque
    from zfscope.store.importing.onnx.protobuf import read_model

    reading = read_opaque(read_model(file), options)
    (folder / NETWORK).write_text(reading.spec.model_dump_json(), encoding="utf-8")
    (folder / GRAPH).write_bytes(reading.graph)
    graph = reading.info.model_dump()
    return {"tensors": reading.tensors, "difference": reading.difference, "graph": graph}


if __name__ == "__main__":
    sys.exit(main())
