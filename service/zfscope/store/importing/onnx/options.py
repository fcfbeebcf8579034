"""What the reader and its child process share: options, and names of files."""

from dataclasses import dataclass

# Limit of processor time, in seconds.
CPU_S = 600

NETWORK, WEIGHTS = "network.json", "weights.safetensors"

TOO_MUCH_MEMORY = "reading it takes too much memory: are there huge constants?"


@dataclass(frozen=True)
class ReadOptions:
    """Options of `read_onnx`; cpu_s: limit of processor time, in seconds."""

    name: str
    size: int | None = None
    output: str = ""
    cpu_s: int = CPU_S
