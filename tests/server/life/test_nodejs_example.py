"""The client for Node.js in examples/nodejs: replicas, retries, health, streams and TLS."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.certificates import issue_certificates
from tests.support.pages import ROOT
from tests.support.service_process import ServiceProcess
from tests.support.stock_clients import NodeClient
from zfscope.client import Client

CLASSIFY = "/zfscope.v1.ClassificationService/Classify"
EXAMPLE = ROOT / "examples" / "nodejs"
StartProcess = Callable[..., ServiceProcess]

# Classifies a photo without a pause until its input ends; prints the number of calls and the failures.
LOOP = """
const fs = require("fs");
const { Client } = require("./client");
const client = new Client(process.argv[2]);
const photo = fs.readFileSync("photo.png");
let ended = false;
process.stdin.on("end", () => (ended = true)).resume();
(async () => {
  const failures = [];
  let calls = 0;
  for (; !ended; calls++) {
    try {
      await client.classify(photo);
      if (calls === 20) console.log("running");
    } catch (error) {
      failures.push(error.message);
    }
  }
  console.log(JSON.stringify({ calls, failures }));
  client.close();
})();
"""


# Occludes a photo; prints the progress and the numbers.
OCCLUDE = """
const fs = require("fs");
const { Client } = require("./client");
const client = new Client(process.argv[2]);
(async () => {
  const analysis = client.analyze("occlude", [fs.readFileSync("photo.png")], JSON.parse(process.argv[3]));
  const fractions = [];
  let step = await analysis.next();
  for (; !step.done; step = await analysis.next()) fractions.push(step.value.fraction);
  console.log(JSON.stringify({ fractions, numbers: step.value.numbers }));
  client.close();
})();
"""


@pytest.fixture
def node() -> NodeClient:
    return NodeClient(EXAMPLE)


@pytest.fixture
def folder(tmp_path: Path, photo: bytes) -> Path:
    """The example next to the files of the repository that it reads, and a photo."""
    folder = tmp_path / "examples" / "nodejs"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "proto").symlink_to(ROOT / "proto")
    (tmp_path / "service").symlink_to(ROOT / "service")
    (folder / "photo.png").write_bytes(photo)
    return folder


@pytest.fixture
def start(start_process: StartProcess) -> StartProcess:
    return lambda **changes: start_process(analyzers='["project"]', **changes)


def answered(service: ServiceProcess) -> int:
    return sum(line["event"] == "answered" and line.get("method") == CLASSIFY for line in service.log)


def test_the_program_classifies_and_projects_a_photo(
    node: NodeClient, folder: Path, start: StartProcess, photo: bytes
) -> None:
    service = start()

    printed = node.run(folder, "main.js", service.address, "photo.png", "--layer", "conv5").splitlines()

    with Client(service.address) as client:
        expected = [f"{100 * each.probability:.1f} % {each.label}" for each in client.classify(photo).classes]
        pictures = client.analyze("project", [photo], {"layer": "conv5", "top": 3}).analysis.pictures
    assert printed[:4] == [f"{service.address} is SERVING", *expected[:3]]
    assert [line for line in printed if line.startswith("wrote")] == [
        f"wrote {each.name}.png" for each in pictures
    ]
    for picture in pictures:
        with Image.open(folder / f"{picture.name}.png") as written:
            assert written.format == "PNG"
        assert (folder / f"{picture.name}.png").read_bytes() == picture.png


def test_a_stream_yields_progress_and_returns_numbers(
    node: NodeClient, folder: Path, start_process: StartProcess, photo: bytes
) -> None:
    service = start_process(analyzers='["occlude"]')
    parameters = {"window": 8, "stride": 4, "polygons": [[[4, 4], [20, 4], [12, 20]]]}
    (folder / "occlude.js").write_text(OCCLUDE)

    printed = json.loads(node.run(folder, "occlude.js", service.address, json.dumps(parameters)))

    with Client(service.address) as client:
        expected = client.analyze("occlude", [photo], parameters).analysis.numbers
    assert printed["numbers"] == expected
    assert printed["fractions"] == sorted(printed["fractions"])
    assert len(printed["fractions"]) > 0


def test_calls_are_balanced_and_none_fails_when_a_replica_stops(
    node: NodeClient, folder: Path, start: StartProcess
) -> None:
    replicas = [start(lame_duck_s=0), start(lame_duck_s=0)]
    (folder / "loop.js").write_text(LOOP)
    target = "ipv4:" + ",".join(replica.address for replica in replicas)

    with node.start_program(folder, "loop.js", target) as loop:
        assert loop.stdout is not None
        assert loop.stdin is not None
        assert loop.stdout.readline() == "running\n"
        assert all(answered(replica) > 5 for replica in replicas)  # round robin
        replicas[0].send(signal.SIGTERM)
        assert replicas[0].wait() == 0
        before = answered(replicas[1])
        while answered(replicas[1]) < before + 20:
            assert loop.poll() is None
        loop.stdin.close()
        result: dict[str, Any] = json.loads(loop.stdout.read())

    assert result["failures"] == []
    assert result["calls"] > 40


def test_the_program_runs_over_tls_with_a_token(node: NodeClient, folder: Path, start: StartProcess) -> None:
    certificates = issue_certificates(folder)
    (folder / "token").write_text("0123456789abcdef\n")
    service = start(**certificates.server, token_file=folder / "token")
    arguments = (service.address, "photo.png", "--ca", str(certificates.ca))

    assert "SERVING" in node.run(folder, "main.js", *arguments, "--token", "token")
    without = node.run_unchecked(folder, "main.js", *arguments)
    assert (without.returncode, "token missing" in without.stderr) == (1, True)
    plain = node.run_unchecked(folder, "main.js", service.address, "photo.png", "--token", "token")
    assert (plain.returncode, plain.stderr) == (1, "a token is only sent over TLS: set ca\n")


def test_a_missing_service_and_a_missing_photo_are_errors(node: NodeClient, folder: Path) -> None:
    result = node.run_unchecked(folder, "main.js", "127.0.0.1:1", "photo.png")
    assert (result.returncode, "UNAVAILABLE" in result.stderr) == (1, True)
    usage = node.run_unchecked(folder, "main.js", "127.0.0.1:1")
    assert usage.stderr.startswith("usage: node main.js ADDRESS PHOTO")
