"""Packages that only some analyses need are imported once the service is SERVING, and never delay its end."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest
from structlog.testing import capture_logs

from zfscope.server import preload as preload_module
from zfscope.server.preload import MODULES, preload

PROGRAM = """
import asyncio, json, os, sys, threading
from pathlib import Path
import zfscope.server.app as app
from zfscope.server import preload
from zfscope.server.settings import Settings

PACKAGES = ("matplotlib", "scipy.stats", "skimage.metrics", "skimage.measure")
done, states = threading.Event(), []

def loaded():
    return [name in sys.modules for name in PACKAGES]

def preload_and_tell(stopped, run=preload.preload):
    run(stopped)
    done.set()

app.preload = preload_and_tell

async def main():
    preload.prepare_preload()
    service = app.Service(Settings(listen="127.0.0.1:0", lame_duck_s=0))
    await service.start()
    states.append(loaded())
    await service.warm_up()
    assert await asyncio.to_thread(done.wait, 120)
    states.append(loaded())
    assert {name: os.environ[name] for name in preload.SETTINGS} == preload.SETTINGS
    assert Path.cwd() == Path(sys.argv[1])
    await service.stop()

asyncio.run(main())
print(json.dumps(states))
"""


def run_in(folder: Path, program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_a_service_imports_them_after_its_first_pass(store: Path, tmp_path: Path) -> None:
    variables = {"ZFSCOPE_STORE": str(store), "ZFSCOPE_DEFAULT_MODEL": "tiny", "ZFSCOPE_CACHE": str(tmp_path)}
    assert json.loads(run_in(tmp_path, PROGRAM, **variables)) == [[False] * 4, [True] * 4]


@pytest.mark.parametrize("is_there", [False, True])
def test_settings_in_the_working_directory_are_skipped_before_there_are_threads(
    tmp_path: Path, is_there: bool
) -> None:
    if is_there:
        (tmp_path / "matplotlibrc").write_text("backend: none such\n")
    program = (
        "import sys, pathlib; from zfscope.server.preload import prepare_preload; prepare_preload(); "
        "assert pathlib.Path.cwd() == pathlib.Path(sys.argv[1]); print('matplotlib' in sys.modules)"
    )
    assert run_in(tmp_path, program) == str(is_there)


def test_a_service_that_stops_imports_no_further_module(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped, imported = threading.Event(), []

    def import_and_stop(name: str) -> ModuleType:
        imported.append(name)
        stopped.set()
        return ModuleType(name)

    monkeypatch.setattr(preload_module, "import_module", import_and_stop)
    preload(stopped)
    assert imported == [MODULES[0]]
    preload(stopped)
    assert imported == [MODULES[0]]


def test_a_module_that_cannot_be_imported_is_logged_and_the_next_one_is_imported() -> None:
    with capture_logs() as logged:
        preload(threading.Event(), ("zfscope.nowhere", "json"))
    assert [(entry["log_level"], entry["event"], entry["module"]) for entry in logged] == [
        ("warning", "cannot import", "zfscope.nowhere")
    ]
