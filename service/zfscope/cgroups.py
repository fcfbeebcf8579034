"""CPU quota of this process: the limit of a container, from its control groups (Linux)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc/self")
# Octal escapes of spaces and other characters in the paths of mountinfo.
_ESCAPE = re.compile(r"\\([0-7]{3})")


class _Mount(NamedTuple):
    """Mounted hierarchy of control groups. root: its group that is mounted at `point`."""

    root: str
    point: Path
    options: frozenset[str]


def cpu_quota() -> float | None:
    """Return the number of CPUs whose time this process may use, such as 1.5; None without a quota.

    Kubernetes and Docker limit CPUs by quotas, which affinity does not show. The quotas of all enclosing
    groups apply, in version 2 (`cpu.max`) and version 1 (`cpu.cfs_quota_us`). Other systems have none.
    """
    try:
        groups = (_PROC / "cgroup").read_text().splitlines()
        mounts = (_PROC / "mountinfo").read_text().splitlines()
    except OSError:
        return None
    quotas = [quota for folder in _folders(groups, mounts) for quota in _quotas(folder)]
    return min(quotas, default=None)


def _folders(groups: list[str], mounts: list[str]) -> Iterator[Path]:
    """Yield the folders of this process's groups that may limit CPUs, and of their ancestors."""
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in _mounts(mounts, "cgroup" if controllers else "cgroup2"):
            if not controllers or "cpu" in mount.options:
                folder = mount.point / _relative(path, mount.root)
                yield from (each for each in (folder, *folder.parents) if each.is_relative_to(mount.point))


def _mounts(lines: list[str], kind: str) -> Iterator[_Mount]:
    """Yield the mounts of a type from lines of mountinfo, described in proc(5)."""
    for line in lines:
        before, _, after = line.partition(" - ")
        if after.partition(" ")[0] == kind:
            root, point = (
                _ESCAPE.sub(lambda code: chr(int(code[1], 8)), text) for text in before.split()[3:5]
            )
            yield _Mount(root, Path(point), frozenset(after.split()[-1].split(",")))


def _relative(path: str, root: str) -> str:
    """Return the path of a group below the mounted one; empty if it is outside, as seen from a container."""
    inside = path == root or path.startswith(f"{root.rstrip('/')}/")
    return path[len(root) :].strip("/") if inside and ".." not in path.split("/") else ""


def _quotas(folder: Path) -> Iterator[float]:
    """Yield the quotas that a group sets, in CPUs."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            if quota not in ("max", "-1"):
                yield int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue  # this group has no such file
