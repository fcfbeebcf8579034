"""A real TorchServe for tests, on free ports and in a temporary folder."""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tests.support.ports import free_ports
from tests.support.programs import skip_missing
from zfscope.errors import RuntimeUnavailable
from zfscope.runtimes.torchserve import TorchServe
from zfscope.runtimes.torchserve.archive import SETTINGS, Batching, write_archive
from zfscope.runtimes.torchserve.runtime import TorchServeRuntime
from zfscope.store import Model

# Starting Java and one Python process per model takes long on a busy machine.
_START_S = 120


def missing() -> str:
    """Return a message on what TorchServe needs and this machine lacks; empty if everything is installed."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if java is None:
        return "java is not installed: apt-get install openjdk-17-jre-headless"
    output = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr
    version = re.search(r'version "(\d+)', output)
    if version is None or int(version[1]) < 17:
        return f"Java is older than 17: {output.splitlines()[0]}"
    if importlib.util.find_spec("ts") is None:
        return "TorchServe is not installed: pip install 'zfscope[torchserve]'"
    return ""


class RunningTorchServe:
    """A TorchServe that serves the archives of some models, and can be killed and started again."""

    def __init__(
        self,
        folder: Path,
        models: Iterable[Model],
        *,
        batching: Batching | None = None,
        sparing: bool = True,
    ) -> None:
        """Write the archives to a folder. Without TorchServe, skip the test, or fail it if CI=true.

        sparing: start fast and use one thread, for tiny networks; False: the defaults of TorchServe.
        """
        if reason := missing():
            skip_missing(reason)
        self._folder, self._models, self._sparing = folder, tuple(models), sparing
        for model in self._models:
            write_archive(model, folder / f"{model.name}.mar", batching or Batching())
        self._process: subprocess.Popen[bytes] | None = None
        self.torchserve = TorchServe(f"127.0.0.1:{self._choose_ports()}", timeout_s=60)

    def start(self) -> None:
        """Start TorchServe and wait until every model is ready."""
        scratch = self._folder / "tmp"
        scratch.mkdir(exist_ok=True)
        folders = {name: str(scratch) for name in ("TMPDIR", "TEMP", "LOG_LOCATION", "METRICS_LOCATION")}
        sparing = {"OMP_NUM_THREADS": "1"} if self._sparing else {}
        command = [Path(sys.executable).parent / "torchserve", "--start", "--foreground", "--ncs"]
        with (self._folder / "log.txt").open("w") as log:
            self._process = subprocess.Popen(
                [*command, "--model-store", self._folder, "--ts-config", self._folder / SETTINGS],
                cwd=self._folder,
                env={**os.environ, **folders, **sparing},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def kill(self) -> float:
        """Kill the Java server with SIGKILL; return the time of the signal by `time.monotonic`."""
        os.kill(int((self._folder / "tmp" / ".model_server.pid").read_text()), signal.SIGKILL)
        killed = time.monotonic()
        self.stop()
        return killed

    def stop(self) -> None:
        """Kill TorchServe and all processes that it started."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=30)

    def _wait(self) -> None:
        end = time.monotonic() + _START_S
        for model in self._models:
            runtime = TorchServeRuntime(model, self.torchserve)
            while True:
                try:
                    runtime.check()
                    break
                except RuntimeUnavailable as error:
                    if time.monotonic() > end or self._process.poll() is not None:
                        log = (self._folder / "log.txt").read_text()[-4000:]
                        raise AssertionError(f"TorchServe did not start: {error}\n{log}") from error
                    time.sleep(0.2)

    def _choose_ports(self) -> int:
        """Set free ports in the settings file of the archives, and return the port of gRPC inference."""
        path = self._folder / SETTINGS
        names = ("8080", "8081", "8082", "7070", "7071")
        ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
        settings = re.sub(r"\b(808[012]|707[01])$", lambda port: ports[port[0]], path.read_text(), flags=re.M)
        path.write_text(settings + ("vmargs=-Xmx512m -XX:TieredStopAtLevel=1\n" if self._sparing else ""))
        return int(ports["7070"])
