"""Generate the Python stubs of all protos: `python proto/generate.py FOLDER`, which contains `zfscope`."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent
_OUTPUTS = ("python", "grpc_python", "mypy", "mypy_grpc")
_WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"  # google.protobuf's own types


def generate(out: Path) -> None:
    """Write the stubs into a source folder, into the packages of the protos and `zfscope.inference`."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # mypy's plugins
    _protoc(out, PROTO.glob("zfscope/**/*.proto"), f"{PROTO}")
    _protoc(out, PROTO.glob("inference/*.proto"), f"zfscope/inference={PROTO / 'inference'}")
    for stub in (out / "zfscope" / "inference").glob("*_pb2.py"):
        _use_private_pool(stub)


def _protoc(out: Path, protos: Iterable[Path], path: str) -> None:
    outputs = [f"--{kind}_out={out}" for kind in _OUTPUTS]
    arguments = [f"--proto_path={path}", f"--proto_path={_WELL_KNOWN}", *outputs, *sorted(map(str, protos))]
    if code := protoc.main(["protoc", *arguments]):
        sys.exit(code)


def _use_private_pool(stub: Path) -> None:
    """Make a stub register in its own descriptor pool.

    In the default pool it would clash with the stubs that other packages have for the same messages.
    """
    default, private = "_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"
    text = stub.read_text()
    assert text.count(default) == 1, f"{stub.name}: unexpected output of protoc"
    stub.write_text(text.replace(default, private))


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
