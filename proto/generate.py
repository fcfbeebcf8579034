"""Generate the Python stubs of all protos: `python proto/generate.py FOLDER`, where `zfscope` is."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent
_OUTPUTS = ("python", "grpc_python", "mypy", "mypy_grpc")
_KNOWN = Path(grpc_tools.__file__).parent / "_proto"  # google.protobuf's own


def generate(out: Path) -> None:
    """Write the stubs into the packages of a folder: those of the protos, and `zfscope.inference`."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # mypy's plugins
    _protoc(out, PROTO.glob("zfscope/**/*.proto"), f"{PROTO}")
    _protoc(out, PROTO.glob("inference/*.proto"), f"zfscope/inference={PROTO / 'inference'}")
    for stub in (out / "zfscope" / "inference").glob("*_pb2.py"):
        _keep_private(stub)


def _protoc(out: Path, protos: Iterable[Path], path: str) -> None:
    outputs = [f"--{kind}_out={out}" for kind in _OUTPUTS]
    words = [f"--proto_path={path}", f"--proto_path={_KNOWN}", *outputs, *sorted(map(str, protos))]
    if code := protoc.main(["protoc", *words]):
        sys.exit(code)


def _keep_private(stub: Path) -> None:
    """Give a stub a pool of its own: others' stubs of these names would clash in the one that all share."""
    shared, own = "_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"
    text = stub.read_text()
    assert text.count(shared) == 1, f"{stub.name} is not as protoc used to write it"
    stub.write_text(text.replace(shared, own))


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
