"""`zfscope run`: an analyzer on every photo of a data set."""

import json
import os
import re
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.support.without_engine import CommandResult

Run = Callable[..., CommandResult]
QUICK = ("--window", 8, "--stride", 8)


@pytest.fixture
def photos(photo: Path, tmp_path: Path) -> Path:
    """Three photos with odd names."""
    folder = tmp_path / "my photos"
    for number, name in enumerate(("n0/a b.png", "n1/é.png", "n1/窓 <1>.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with Image.open(photo) as image:
            image.rotate(90 * number).save(folder / name)
    return folder


def run_json(run: Run, *arguments: object) -> dict[str, Any]:
    result = run("run", *arguments, "--json")
    assert result.code == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def paths(folder: Path) -> list[str]:
    rows = pq.read_table(folder / "results.parquet", use_threads=False).to_pylist()
    return [row["path"] for row in rows if row["table"] == ""]


def test_the_summary_counts_photos_and_says_where_the_results_are(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    (photos / "broken.jpg").write_text("no photo")
    (photos / "notes.txt").write_text("no photo either")
    out = tmp_path / "out"
    result = run("run", "occlude", photos, *QUICK, "--out", out, "--pictures")
    assert result.code == 0
    assert result.stdout == (
        "occlude, by tiny version 2: 3 photos; 1 could not be analyzed, see skipped.parquet; skipped: 1 file "
        f"that is not an image (.txt). Results written to {out}\n"
    )
    assert len(list((out / "pictures").iterdir())) == 3
    again = run_json(run, "occlude", photos, *QUICK, "--out", out, "--pictures")
    assert again == {
        "folder": str(out),
        "analyzer": "occlude",
        "model": "tiny",
        "version": 2,
        "precision": "float32",
        "images": 3,
        "skipped": 1,
        "passed_over": {"other": 1},
        "tensors": {},
        "pictures": 3,
        "warnings": [],
    }


def test_data_may_be_a_folder_a_tar_a_list_or_a_table(run: Run, photos: Path, tmp_path: Path) -> None:
    names = sorted(str(path.relative_to(photos)) for path in photos.rglob("*.png"))
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        for name in (*names, names[0]):  # a repeated member counts once
            tar.add(photos / name, name)
    (photos / "list").write_text("\n".join(names), encoding="utf-8")
    pq.write_table(pa.table({"path": names}), photos / "table")
    results = []
    for number, data in enumerate((photos, tmp_path / "photos.tar", photos / "list", photos / "table")):
        out = tmp_path / "out" / str(number)
        assert run_json(run, "activations", data, "--layer", "conv3", "--out", out)["images"] == 3
        assert paths(out) == names
        table = pq.read_table(out / "results.parquet", use_threads=False)
        results.append(table.drop_columns("class"))
    assert all(each.equals(results[0]) for each in results)


def test_parameters_and_tensors_are_options(run: Run, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("project", photos, "--layer", "conv3", "--top", 2, "--version", 1, "--tensors", "--out", out)
    answer = run_json(run, *arguments, "--runtime", "torch", "--threads", 2)
    assert (answer["version"], answer["images"]) == (1, 3)
    assert answer["tensors"]["projections"]["shape"] == [2, 3, 32, 32]
    origin = json.loads((out / "run.json").read_text())["origin"]
    assert (origin["parameters"], origin["runtime"]) == ({"layer": "conv3", "top": 2}, "torch")


def test_the_help_has_the_options_of_the_analyzer(run: Run) -> None:
    shown = run("run", "occlude", "--help").stdout
    assert all(
        option in shown for option in ("DATA", "--window INTEGER", "--engine", "--out DIR", "--threads")
    )
    assert "zfscope run occlude photos/val --out occluded" in run("run").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("oclude", "{photos}"), "analyzer 'oclude' not found; available: .*; did you mean 'occlude'?"),
        (
            ("correspond", "{photos}"),
            "analyzer 'correspond' takes 2 to 32 photos; `zfscope run` analyzes one photo at a time: use one "
            "of activations, .*, project, or `zfscope analyze correspond`",
        ),
        (
            ("top-k", "{photos}"),
            "analyzer 'top-k' takes no photos; `zfscope run` analyzes one photo at a time",
        ),
        (("occlude", "{empty}"), "'.*/empty' contains no photos (.*)"),
        (("occlude", "{photos}/nowhere"), "data set '.*nowhere' cannot be opened: no such folder or file"),
        (
            ("occlude", "{photos}", "--windows", 3),
            ".*did you mean '--window'?",
        ),
        (("occlude", "{photos}", "--window", 0), "window is 0: "),
        (("occlude", "{photos}", "--window", 99), "window.* 99.*"),
        (("occlude", "{photos}", "--classes", "wasp"), ".*'wasp'.*"),
        (("occlude", "{photos}", "--layer", "conv33"), ".*'conv33'.*did you mean 'conv3'?"),
        (("occlude", "{photos}", "--model", "big"), "model 'big' not found; available: tiny"),
        (("occlude", "{photos}", "--address", "auto"), "engine 'local' takes no address; only 'ray' does"),
        (
            ("occlude", "{photos}", "--engine", "ray", "--threads", 2),
            "engine 'ray' takes no number of threads",
        ),
        (("occlude", "{photos}", "--engine", "ray", "--device", "cuda"), "--engine ray runs on CPUs, not on"),
    ],
)
def test_a_mistake_is_reported_in_one_line_and_nothing_is_written(
    run: Run, photos: Path, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"photos": photos, "empty": tmp_path / "empty"}
    words = [str(word).format(**places) for word in arguments]
    result = run("run", *words, "--out", tmp_path / "out")
    assert (result.code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    pattern = "zfscope: " + re.escape(message).replace(r"\.\*", ".*")
    assert re.match(pattern, lines[-1]), result.stderr
    assert not (tmp_path / "out").exists()


def test_an_output_folder_is_required(run: Run, photos: Path) -> None:
    result = run("run", "occlude", photos)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("zfscope: the following arguments are required: --out")


def test_an_interrupted_command_resumes(
    command: Path,
    environment: dict[str, str],
    photos: Path,
    tmp_path: Path,
    run: Run,
    ctrl_c: None,
) -> None:
    arguments = ["run", "occlude", photos, "--out", tmp_path / "out", "--stride", "1"]
    process = subprocess.Popen(
        [command, *map(str, arguments)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    unfinished = tmp_path / ".out.unfinished" / "photos"
    while not list(unfinished.glob("*.json")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert len(list(unfinished.glob("*.json"))) < 3
    refused = run("run", "occlude", photos, "--out", tmp_path / "out", "--stride", "2")
    assert "holds an unfinished run that differs in parameters" in refused.stderr
    assert run_json(run, *arguments[1:])["images"] == 3
