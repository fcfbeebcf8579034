"""What the reader and its child process share: options, and names of files."""

from dataclasses import dataclass

# Limit of processor time, in seconds.
CPU_S = 600

NETWORK, WEIGHTS, GRAPH = "network.json", "weights.safetensors", "graph.onnx"

TOO_MUCH_MEMORY = "reading it takes too much memory: are there huge constants?"


@dataclass(frozen=True)
class ReadOptions:
    """Options of `read_onnx` and `read_opaque`.

    opaque: read the graph as a whole. cpu_s: limit of processor time, in seconds.
    """

    name: str
    size: int | None = None
    output: str = ""
    opaque: bool = False
    cpu_s: int = CPU_S
