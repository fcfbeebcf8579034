"""The texts of `Copy as`, taken from the page and run: every one gives the numbers that the page shows."""

import io
import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from playwright.sync_api import Page, expect

from tests.cli.conftest import write_tiny
from tests.page.browser.conftest import Open, choose, picture
from tests.support.page_server import PageClient, running_page
from tests.support.programs import require_program
from zfscope.local import LocalClient
from zfscope.v1 import analysis_pb2, classification_pb2

# Ids of classes that a shell, Python, JSON and curl read in different ways.
IDS = ('it\'s "two"\nlines \\n', "$(touch hacked) `touch hacked` $HOME;type=text/html", "#one", "--model")
NAME = '-it\'s "a"\nphoto;type=x $(touch hacked).png'
LANGUAGES = {"Python": "python", "Command line": "sh", "grpcurl": "grpcurl", "curl": "curl"}
MESSAGES: Mapping[str, Any] = {
    "zfscope.v1.ClassificationService/Classify": classification_pb2.ClassifyRequest,
    "zfscope.v1.AnalysisService/Analyze": analysis_pb2.AnalyzeRequest,
}


@pytest.fixture(scope="module")
def quoted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalClient]:
    """Client of a store whose model has classes with such ids."""
    folder = tmp_path_factory.mktemp("quoted")
    for version in (1, 2):
        write_tiny(folder, version, ids=IDS)
    with LocalClient(folder) as client:
        yield client


@pytest.fixture(scope="module")
def served(quoted: LocalClient) -> Iterator[PageClient]:
    """A page of that model."""
    with running_page(quoted) as served:
        yield served


@pytest.fixture
def tab(open_page: Open, served: PageClient, photo: bytes) -> Page:
    """The page of a photo with an occluded box: four calls."""
    tab = open_page(url=served.url)
    choose(tab, photo, NAME)
    expect(tab.locator(".grid.nine img")).to_have_count(9)
    tab.click("#photo-view >> text=Box")
    tab.focus("#photo-view .stage")
    tab.keyboard.press("ArrowRight")
    expect(tab.locator(".class.changed").first).to_be_visible()
    return tab


@pytest.fixture
def texts(tab: Page, tmp_path: Path) -> dict[str, str]:
    """The texts of the page by language; the current folder of `shell` has the files of its ZIP archive."""
    with tab.expect_download() as download:
        tab.click("text=Save ZIP")
    zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())).extractall(tmp_path)
    return copied(tab)


def copied(tab: Page) -> dict[str, str]:
    """Return the texts of `Copy as`."""
    tab.click("text=Copy as")
    texts = {}
    for language, name in LANGUAGES.items():
        tab.click(f"dialog >> button:text-is('{language}')")
        texts[name] = tab.locator("dialog pre").text_content() or ""
    tab.click("dialog >> text=Close")
    return texts


def run(folder: Path, client: LocalClient, *command: str) -> str:
    """Run a command in a folder, with the client's store, and return its output."""
    environment = {
        **os.environ,
        "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
        "ZFSCOPE_STORE": str(client.store.root),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert not (folder / "hacked").exists()
    return ran.stdout


def shell(folder: Path, client: LocalClient, text: str, functions: str) -> str:
    """Run a text in bash. functions: functions that replace programs."""
    return run(folder, client, "bash", "-euc", f"{functions}\n{text}")


def objects(text: str) -> list[Any]:
    """Return the JSON objects of a text, one after another."""
    decoder, found, start = json.JSONDecoder(), [], 0
    while start < len(text.rstrip()):
        value, start = decoder.raw_decode(text, start + len(text[start:]) - len(text[start:].lstrip()))
        found.append(value)
    return found


def assert_expected(answers: list[Any], client: LocalClient, photo: bytes) -> None:
    """Compare the answers to the four calls, as JSON, with those of the client."""
    classified, activations, projected, occluded = answers
    expected = client.classify(photo)
    scores = {score.label_id: score.probability for score in expected.classes}
    assert {each["id"]: each["probability"] for each in classified["classes"]} == pytest.approx(scores)
    maps = [each.map for each in client.activations(photo, layer="conv5", pictures=False).units]
    for answer, name in ((activations, "units"), (projected, "projections")):
        assert [each["map"] for each in (answer.get(name) or answer["tables"][name])] == maps
    rows = occluded["classes"] if "classes" in occluded else occluded["tables"]["classes"]
    clean = {each["label_id"]: each["clean"] for each in rows}
    assert clean == pytest.approx(scores, abs=1e-5)


def test_the_archive_has_the_photo_and_the_texts_about_it(
    texts: dict[str, str], tmp_path: Path, photo: bytes
) -> None:
    assert (tmp_path / "photo.png").read_bytes() == photo
    assert (tmp_path / "calls.py").read_text() == texts["python"]
    assert (tmp_path / "calls.sh").read_text().rstrip("\n") == texts["sh"]
    for text in texts.values():
        assert text.count("photo.png") == 4


def test_the_python_text_runs(
    texts: dict[str, str], quoted: LocalClient, photo: bytes, tmp_path: Path
) -> None:
    report = """
import json
print(json.dumps([
    {"classes": [{"id": each.label_id, "probability": each.probability} for each in classify.classes]},
    {"units": [{"map": each.map} for each in activations.units]},
    {"projections": [{"map": each.map} for each in project.projections]},
    {"classes": [{"label_id": each.label_id, "clean": each.clean} for each in occlude.classes]},
]))
"""
    answers = json.loads(run(tmp_path, quoted, sys.executable, "-c", texts["python"] + report))
    assert_expected(answers, quoted, photo)


def test_the_commands_run(texts: dict[str, str], quoted: LocalClient, photo: bytes, tmp_path: Path) -> None:
    functions = 'zfscope() { command zfscope "$@" --json; }'
    assert_expected(objects(shell(tmp_path, quoted, texts["sh"], functions)), quoted, photo)


def test_the_calls_of_curl_run(
    texts: dict[str, str], quoted: LocalClient, photo: bytes, tmp_path: Path
) -> None:
    require_program("curl", package="curl")
    functions = 'curl() { command curl --silent --show-error --fail-with-body "$@"; }'
    assert_expected(objects(shell(tmp_path, quoted, texts["curl"], functions)), quoted, photo)


def test_the_messages_for_grpcurl_are_requests(
    texts: dict[str, str], quoted: LocalClient, photo: bytes, tmp_path: Path
) -> None:
    functions = """grpcurl() { printf '{"method": "%s", "message": ' "$5"; cat; echo '}'; }"""
    calls = objects(shell(tmp_path, quoted, texts["grpcurl"], functions))
    requests = [json_format.ParseDict(each["message"], MESSAGES[each["method"]]()) for each in calls]
    classify, *analyses = requests
    assert (classify.model, classify.version, classify.image.encoded) == ("tiny", 2, photo)
    assert [each.analyzer for each in analyses] == ["activations", "project", "occlude"]
    assert [image.encoded for each in analyses for image in each.images] == [photo] * 3
    parameters = json_format.MessageToDict(analyses[-1].parameters)
    assert sorted(parameters["classes"]) == sorted(IDS)
    analyzed = quoted.analyze("occlude", [photo], parameters).analysis
    expected = quoted.classify(photo)
    clean = {row["label_id"]: row["clean"] for row in analyzed.tables["classes"].records()}
    assert clean == pytest.approx({each.label_id: each.probability for each in expected.classes}, abs=1e-5)


def test_a_comparison_of_two_photos_names_each_and_keeps_both_results(
    tab: Page, quoted: LocalClient, photo: bytes, tmp_path: Path
) -> None:
    other = picture(33)
    tab.keyboard.press("2")
    tab.set_input_files(
        "[aria-label='Photo B'][type=file]", {"name": "b.png", "mimeType": "image/png", "buffer": other}
    )
    top = quoted.classify(other, version=1).classes[0]
    cell = tab.locator("#compare-view tbody tr", has_text=top.label).locator("td").nth(2)
    expect(cell).to_have_text(f"{100 * top.probability:.1f} %")
    with tab.expect_download() as download:
        tab.click("text=Save ZIP")
    zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())).extractall(tmp_path)
    assert [(tmp_path / name).read_bytes() for name in ("photo1.png", "photo2.png")] == [photo, other]
    report = "print(*(each.classes[0].probability for each in (classify, classify_2)), sep='\\n')"
    text = f"{(tmp_path / 'calls.py').read_text()}\n{report}"
    shown = [float(line) for line in run(tmp_path, quoted, sys.executable, "-c", text).split()]
    expected = quoted.classify(photo).classes[0].probability, top.probability
    assert shown == pytest.approx(expected)


def test_the_calls_of_curl_have_the_token_if_the_page_requires_one(
    open_page: Open, stack: ExitStack, quoted: LocalClient, photo: bytes, tmp_path: Path
) -> None:
    require_program("curl", package="curl")
    token = "0123456789abcdef"
    served = stack.enter_context(running_page(quoted, token=token))
    tab = open_page(url=served.url, ready="dialog input", expected=(401,))
    tab.fill("dialog input", token)
    tab.keyboard.press("Enter")
    tab.wait_for_selector("body:not([aria-busy])")
    choose(tab, photo)
    expect(tab.locator(".class")).to_have_count(4)
    (tmp_path / "photo.png").write_bytes(photo)
    text = copied(tab)["curl"].splitlines()[0]
    assert token not in text
    (answer,) = objects(shell(tmp_path, quoted, text, f"TOKEN={token}"))
    assert answer["classes"][0]["probability"] == pytest.approx(quoted.classify(photo).classes[0].probability)
