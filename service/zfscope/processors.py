"""The processors that this process may use."""

import os


def usable_cpus() -> int:
    """Return the number of processors that this process may run on, at least 1.

    A container or `taskset` may allow fewer than the machine has. Not every system can say how many:
    macOS and Windows have no `os.sched_getaffinity`, and `os.process_cpu_count` comes with Python 3.13.
    """
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
