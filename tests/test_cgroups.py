"""CPU quotas of control groups: files as Linux writes them, in a folder of the test."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from zfscope import cgroups, processors
from zfscope.cgroups import cpu_quota
from zfscope.processors import limit_openmp, usable_cpus
from zfscope.server.backend import Backend
from zfscope.server.settings import Settings
from zfscope.server.telemetry.metrics import Metrics

MOUNT_V2 = "30 23 0:26 {root} {point} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
MOUNT_V1 = "33 31 0:29 {root} {point} rw,relatime - cgroup cgroup rw,cpu,cpuacct"
OTHER_V1 = "34 31 0:30 / {point} rw,relatime - cgroup cgroup rw,memory"
DISK = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw"


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that writes the files of /proc for a process, and returns the mount point."""
    proc, point = tmp_path / "proc", tmp_path / "control groups"
    for folder in (proc, point):
        folder.mkdir()
    monkeypatch.setattr(cgroups, "_PROC", proc)

    def write(group: str, mount: str, *, root: str = "/") -> Path:
        escaped = str(point).replace(" ", "\\040")
        lines = (DISK, OTHER_V1.format(point="/nowhere"), mount.format(root=root, point=escaped))
        (proc / "mountinfo").write_text("\n".join(lines) + "\n")
        (proc / "cgroup").write_text(f"5:memory:/\n{group}\n")
        return point

    return write


def write_max(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(f"{text}\n")


@pytest.mark.parametrize(
    ("text", "quota"),
    [("200000 100000", 2), ("150000 100000", 1.5), ("5000 10000", 0.5), ("max 100000", None)],
)
def test_the_quota_of_a_container_is_that_of_its_root_group(
    mount: Callable[..., Path], text: str, quota: float | None
) -> None:
    write_max(mount("0::/", MOUNT_V2), text)
    assert cpu_quota() == quota


def test_the_smallest_quota_of_all_enclosing_groups_applies(mount: Callable[..., Path]) -> None:
    point = mount("0::/kubepods/pod1/container", MOUNT_V2)
    write_max(point / "kubepods", "800000 100000")
    write_max(point / "kubepods" / "pod1", "300000 100000")
    write_max(point / "kubepods" / "pod1" / "container", "max 100000")
    write_max(point / "kubepods" / "pod2", "100000 100000")
    write_max(point.parent, "100000 100000")  # above the mount: not a group
    assert cpu_quota() == 3


@pytest.mark.parametrize(("quota_us", "quota"), [("250000", 2.5), ("-1", None)])
@pytest.mark.parametrize(
    ("group", "root"), [("4:cpu,cpuacct:/docker/1", "/"), ("4:cpuacct,cpu:/docker/1", "/docker/1")]
)
def test_version_1_has_a_quota_and_a_period(
    mount: Callable[..., Path], group: str, root: str, quota_us: str, quota: float | None
) -> None:
    point = mount(group, MOUNT_V1, root=root)
    folder = point if root == "/docker/1" else point / "docker" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.cfs_quota_us").write_text(f"{quota_us}\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert cpu_quota() == quota


def test_a_group_outside_of_the_mounted_ones_is_read_at_the_mount(mount: Callable[..., Path]) -> None:
    write_max(mount("0::/../../other", MOUNT_V2, root="/docker/1"), "200000 100000")
    assert cpu_quota() == 2


@pytest.mark.parametrize("text", ["", "200000", "many 100000", "200000 0"])
def test_a_file_that_is_not_a_quota_is_ignored(mount: Callable[..., Path], text: str) -> None:
    write_max(mount("0::/", MOUNT_V2), text)
    assert cpu_quota() is None


def test_a_system_without_control_groups_has_no_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "_PROC", tmp_path / "missing")
    assert cpu_quota() is None


@pytest.mark.parametrize(("quota", "cpus"), [(0.1, 1), (2, 2), (2.5, 3), (64, 16), (None, 16)])
def test_usable_processors_follow_the_quota_rounded_up(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, cpus: int
) -> None:
    monkeypatch.setattr(processors, "cpu_quota", lambda: quota)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 16, raising=False)
    assert usable_cpus() == cpus


@pytest.mark.parametrize(
    ("quota", "before", "after"), [(2, None, "2"), (2, "5", "5"), (16, None, None), (None, None, None)]
)
def test_commands_limit_the_threads_of_torch_to_the_quota(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, before: str | None, after: str | None
) -> None:
    monkeypatch.setattr(processors, "cpu_quota", lambda: quota)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 16, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", before or "")
    if before is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    limit_openmp()
    assert os.environ.get("OMP_NUM_THREADS") == after


def test_the_threads_of_a_service_follow_the_quota_of_its_pod(
    mount: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_max(mount("0::/", MOUNT_V2), "200000 100000")
    monkeypatch.setattr(os, "process_cpu_count", lambda: 64, raising=False)
    before = torch.get_num_threads()
    try:
        backend = Backend(Settings(), Metrics())
        runtime = backend.load_model("", None).runtime
        assert torch.get_num_threads() == 2
        assert runtime._runtime._threads == 2  # type: ignore[attr-defined]  # of ONNX Runtime
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def limited_group() -> Iterator[Path]:
    """A control group of this machine with a quota of half a CPU; skips the test where none can be made."""
    version_2 = Path("/sys/fs/cgroup/cpu.max").exists() or Path("/sys/fs/cgroup/cgroup.controllers").exists()
    folder = Path("/sys/fs/cgroup", *([] if version_2 else ["cpu"]), f"zfscope-test-{os.getpid()}")
    name, value = ("cpu.max", "50000 100000") if version_2 else ("cpu.cfs_quota_us", "50000")
    try:
        folder.mkdir()
        (folder / name).write_text(value)
    except OSError as error:
        if folder.exists():
            folder.rmdir()
        pytest.skip(f"control groups cannot be changed: {error}")
    yield folder
    folder.rmdir()


def test_a_process_in_a_limited_group_of_this_machine_has_its_quota(limited_group: Path) -> None:
    program = (
        "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\n"
        "from zfscope.cgroups import cpu_quota; from zfscope.processors import usable_cpus\n"
        "print(cpu_quota(), usable_cpus())"
    )
    command = [sys.executable, "-c", program, str(limited_group / "cgroup.procs")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout.split()) == (0, ["0.5", "1"]), result.stderr
