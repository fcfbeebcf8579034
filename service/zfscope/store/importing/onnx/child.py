"""The process that reads a graph: `python -m zfscope.store.importing.onnx.child FILE FOLDER OPTIONS`.

A stranger's graph has constant parts that run while it is simplified, so memory and time are limited. Writes
the network to FOLDER, and a report as JSON to standard output: `tensors` and `difference` of the comparison,
or `error`.
"""

import json
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

# Limits of memory, in bytes: a base, and a multiple of the file's size, which is held several times.
_MEMORY_BASE = 3 * 2**30
_MEMORY_PER_BYTE = 12

# Limit of processor time, in seconds.
CPU_S = 600

NETWORK, WEIGHTS = "network.json", "weights.safetensors"


@dataclass(frozen=True)
class ReadOptions:
    """Options of `read_onnx`."""

    name: str
    size: int | None = None
    output: str = ""


def main() -> int:
    """Read the graph; return 1 if it cannot be imported."""
    file, folder, options = Path(sys.argv[1]), Path(sys.argv[2]), ReadOptions(**json.loads(sys.argv[3]))
    limit_resources(file.stat().st_size)
    try:
        report: dict[str, object] = _read(file, folder, options)
    except ValueError as error:
        report = {"error": str(error)}
    except MemoryError:
        report = {"error": "reading it takes too much memory: are there huge constants?"}
    sys.stdout.write(json.dumps(report) + "\n")
    return int("error" in report)


def limit_resources(file_bytes: int) -> None:
    """Limit the memory and processor time of this process."""
    memory = _MEMORY_BASE + _MEMORY_PER_BYTE * file_bytes
    for kind, limit in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_CPU, CPU_S)):
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
    tensors, difference = verify(original, reading)
    (folder / NETWORK).write_text(reading.spec.model_dump_json(), encoding="utf-8")
    (folder / WEIGHTS).write_bytes(safetensors.numpy.save(dict(reading.weights)))
    return {"tensors": tensors, "difference": difference}


if __name__ == "__main__":
    sys.exit(main())
