"""The programs of docs/how-to/nodejs.md, run by Node.js."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.support.certificates import issue_certificates
from tests.support.pages import ROOT, blocks_of
from tests.support.service_process import ServiceProcess
from tests.support.stock_clients import NodeClient

PROTOS = str(ROOT / "proto")
CONFIG = ROOT / "service" / "zfscope" / "client" / "service_config.json"
TOKEN = "0123456789abcdef0123456789abcdef"
StartProcess = Callable[..., ServiceProcess]


@pytest.fixture
def node() -> NodeClient:
    return NodeClient()


@pytest.fixture
def folder(tmp_path: Path, photo: bytes) -> Path:
    """The files of the page, and a photo."""
    for block in blocks_of(ROOT / "docs" / "how-to" / "nodejs.md"):
        if block.marker == "file":
            (tmp_path / block.note).write_text(block.text)
    (tmp_path / "photo.png").write_bytes(photo)
    return tmp_path


def test_the_program_projects_a_photo(node: NodeClient, folder: Path, start_process: StartProcess) -> None:
    service = start_process(analyzers='["project"]')

    maps = json.loads(node.run(folder, "project.js", PROTOS, service.address, "photo.png"))

    assert len(maps) == len(set(maps)) > 0
    with Image.open(folder / "conv5.png") as sheet:
        assert sheet.format == "PNG"


def test_the_program_runs_over_tls_with_the_token_and_the_options(
    node: NodeClient, folder: Path, start_process: StartProcess
) -> None:
    certificates = issue_certificates(folder)
    (folder / "token").write_text(f"{TOKEN}\n")
    settings = {**certificates.server, "token_file": folder / "token"}
    service = start_process(analyzers='["project"]', **settings)
    arguments = (
        f"require('./credentials').credentials('{certificates.ca}', 'token'), "
        f"require('./options').options('{CONFIG}')"
    )
    program = (folder / "project.js").read_text().replace("grpc.credentials.createInsecure()", arguments)
    assert arguments in program
    (folder / "secure.js").write_text(program)

    maps = json.loads(node.run(folder, "secure.js", PROTOS, service.address, "photo.png"))

    assert len(maps) > 0
